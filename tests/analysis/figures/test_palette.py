"""Styles of arms: one per arm within a study, one colour and marker per model everywhere."""

import pytest

from ablations import REGISTRY, Study
from analysis import AnalysisError
from analysis.figures.palette import Style, styles
from esbn_core.config import MODEL_CONFIGS, arm_label

KNOWN = ["baseline", "confidence=off", "confidence=default_memory", "tcn=none", "encoder=mlp", "encoder=random"]


def unlabelled(style: Style) -> Style:
    return style._replace(label="")


def assert_apart(arms: list[str]) -> None:
    style_of_arm = styles(arms)
    assert list(style_of_arm) == arms
    assert len(set(map(unlabelled, style_of_arm.values()))) == len(arms)
    assert len({style.label for style in style_of_arm.values()}) == len(arms)


@pytest.mark.parametrize("study", REGISTRY.values(), ids=REGISTRY)
def test_styles_tell_the_arms_of_a_study_apart(study: Study) -> None:
    assert_apart(list(dict.fromkeys(arm_label(arm) for grid in study.grids for arm in grid.arms)))


def test_styles_tell_very_many_arms_apart() -> None:
    assert_apart([*KNOWN, *(f"{model}x={i}" for model in ("", "model=lstm,", "model=a:B,") for i in range(50))])


def test_styles_refuse_more_arms_than_figures_can_tell_apart() -> None:
    with pytest.raises(AnalysisError, match="arm=model=lstm,x=[0-9]+: there are too many arms for distinct styles"):
        styles([f"model=lstm,x={i}" for i in range(1000)])


def test_styles_give_every_model_its_own_colour_and_marker() -> None:
    of_models = styles(["baseline", *(f"model={name}" for name in MODEL_CONFIGS if name != "esbn")]).values()
    assert len({style.color for style in of_models}) == len({style.marker for style in of_models}) == len(MODEL_CONFIGS)
    assert not any("=" in style.label or "model" in style.label for style in of_models)


@pytest.mark.parametrize("change", ["tcn=none", "encoder=mlp", "x=1", "x=1,y=2"])
@pytest.mark.parametrize("model", ["lstm", "corelnet", "abstractor", "my.models:Net"])
def test_styles_keep_colour_and_marker_of_a_model_and_change_the_line(model: str, change: str) -> None:
    plain, changed = styles([f"model={model}", f"model={model},{change}"]).values()
    assert (changed.color, changed.marker) == (plain.color, plain.marker)
    assert changed.line != plain.line


def test_styles_give_every_arm_of_the_esbn_its_own_colour_and_marker() -> None:
    of_arms = styles([*KNOWN, "leak=0.1", "leak=0.1,leak_into=key", "encoder=mlp,tcn=none"]).values()
    assert len({style.color for style in of_arms}) == len({style.marker for style in of_arms}) == len(of_arms)


@pytest.mark.parametrize("arm", [*KNOWN, "model=transformer", "model=transformer,encoder=mlp"])
def test_styles_of_known_arms_do_not_depend_on_the_study(arm: str) -> None:
    others = ["x=1", "model=transformer,y=1", "images=0123,encoder=mlp", "model=a:B"]
    assert styles([*others, arm])[arm] == styles([arm])[arm]


def test_styles_of_own_images_are_those_of_the_paper_s() -> None:
    arms = ["baseline", "encoder=mlp", "model=lstm"]
    own = styles(["images=0123", "images=0123,encoder=mlp", "images=0123,model=lstm"])
    assert [*map(unlabelled, own.values())] == [*map(unlabelled, styles(arms).values())]


def test_styles_tell_own_images_and_the_paper_s_apart() -> None:
    assert_apart(["images=0123", "images=0123,encoder=mlp", "images=0123,model=lstm", *KNOWN, "model=lstm"])


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        ("baseline", "ESBN (baseline)"),
        ("tcn=none", "no TCN"),
        ("model=lstm,tcn=none", "LSTM, no TCN"),
        ("model=transformer,encoder=mlp", "Transformer, MLP encoder"),
        ("model=corelnet,variant=with_content", "CoRelNet, with content"),
        ("model=abstractor,tied=True", "Abstractor, tied maps"),
        ("model=trn,layers_after_sums=True", "TRN, layers after sums"),
        ("model=ntm,sharpening=False", "NTM, no sharpening"),
        ("n_train=100000,model=rn", "Relation net, 100000 problems"),
        ("leak=0.1", "ESBN, leak 0.1"),
        ("leak=learned,leak_into=key", "ESBN, learned leak, leak into key"),
        ("confidence=off,retrieval=scaled", "ESBN, no confidence, scaled retrieval"),
        ("output=sigmoid", "ESBN, sigmoid output"),
        ("sampling=as_released", "ESBN, sampling as released"),
        ("learning_rate=0.001", "ESBN, learning rate 0.001"),
        ("sizes=[1, 2],depth=3", "ESBN, sizes [1, 2], depth 3"),
        ("model=my.models:Net,tcn=none", "Net, no TCN"),
    ],
)
def test_styles_put_an_arm_into_words(arm: str, label: str) -> None:
    assert styles([arm])[arm].label == label


def test_styles_spell_out_arms_that_would_share_a_label() -> None:
    labels = [style.label for style in styles(["model=a:Net", "model=b:Net", "model=c:Other"]).values()]
    assert labels == ["model=a:Net", "model=b:Net", "Other"]
