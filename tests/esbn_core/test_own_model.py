"""A model of the user's own, from a file beside the study."""

from pathlib import Path

import pytest

from esbn_core.config import PAPER
from esbn_core.errors import ConfigError
from esbn_core.objects import glyphs
from study.monitoring import cost
from study.planning.declarations import find_study
from study.planning.plan import plan

CONFIG = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Own:
    width: int = 8
    core = None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module in a folder that can be imported from; a module per test, since imports stay."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(CONFIG)
    return name


def test_own_model_settings_are_settings_of_the_trial(module: str) -> None:
    changed = PAPER.with_(model=f"{module}:Own", width=9).resolve()
    assert (changed.flat()["model"], changed.flat()["width"]) == (f"{module}:Own", 9)
    assert changed.trial_id() != PAPER.with_(model=f"{module}:Own").resolve().trial_id()


def test_own_model_takes_the_protocol_of_its_task(module: str) -> None:
    config = PAPER.with_(model=f"{module}:Own", task="distribution_of_three", withheld=95).resolve()
    assert (config.train.updates, config.train.learning_rate) == (1_800, 5e-4)


def test_own_model_of_a_changed_file_is_a_new_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    ids = []
    for name, text in (("own_a", CONFIG), ("own_b", CONFIG + "# changed\n")):
        (tmp_path / f"{name}.py").write_text(text)
        ids.append(PAPER.with_(model=f"{name}:Own").resolve().flat()["source"])
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "cannot be loaded: AttributeError"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("import nowhere_at_all", "it needs nowhere_at_all"),
        ("class Own: pass", "must be a frozen dataclass"),
        (CONFIG.replace("frozen=True", "frozen=False"), "must be a frozen dataclass"),
        (CONFIG.replace("core = None", ""), "class attribute core"),
        (CONFIG.replace("width", "seed"), "'seed', which every trial has; rename it"),
        (CONFIG.replace(" = 8", ""), "'width' without a default; give it one"),
    ],
)
def test_own_model_refuses_what_it_cannot_use(tmp_path: Path, module: str, text: str, message: str) -> None:
    (tmp_path / f"{module}.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        PAPER.with_(model=f"{module}:Own")


def test_own_model_that_is_nowhere_says_where_to_put_it() -> None:
    with pytest.raises(ConfigError, match="put its file beside the study's"):
        PAPER.with_(model="nowhere_at_all:Own")


@pytest.mark.slow
def test_own_model_is_measured_in_a_process_that_has_not_seen_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "own_measured.py").write_text(
        "from esbn_core.models.corelnet import CoRelNet\nfrom esbn_core.baseline_configs import CoRelNetConfig\n"
        "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Own:\n"
        "    variant: str = 'causal'\n    width: int = 8\n    hidden_size: int = 8\n    core = CoRelNet\n"
    )
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: own\nquestion: '?'\ngrids: [{arms: [{model: 'own_measured:Own', width: 4, encoder: random}], "
        "conditions: {same_different: [98]}, seeds: 1}]\n"
    )
    found = cost.estimate(plan(find_study(str(study))), glyphs(), lambda line: None)
    assert found.seconds > 0
    assert found.by_model.keys() == {"own_measured:Own"}


def test_own_model_is_found_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "own_beside.py").write_text(CONFIG)
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: own\nquestion: '?'\n"
        "grids: [{arms: [{model: 'own_beside:Own', width: 4}], conditions: {rmts: [95]}, seeds: 1}]\n"
    )
    (trial,) = plan(find_study(str(study)))
    assert trial.arm == "model=own_beside:Own,width=4"
