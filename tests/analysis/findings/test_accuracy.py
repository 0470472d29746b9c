"""Published values beside arms that were trained otherwise: the released code's problems, and the user's own images."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from analysis_store import Row, trial, write_study
from click.testing import CliRunner, Result
from matplotlib.text import Text

from ablations import REGISTRY
from analysis.data.published import DEVIATIONS, OWN_IMAGES, comparable, published
from analysis.data.trials import load_study
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.palette import styles
from analysis.findings.accuracy import table, variant_accuracies
from analysis.page.build import html
from analysis.page.figures import accuracy_figures
from esbn_core.config import PAPER, arm_label
from esbn_core.vocabulary import BASELINE, Cell, plain_arm
from study.cli.main import main
from study.planning.plan import OwnImages, plan, variants

IMAGES = OwnImages("0123abcd" * 8, 100)
OWN = "images=0123abcd"


def rows(task: str, withheld: int, arm: str, accuracies: Sequence[float], **more: object) -> list[Row]:
    """A trial per accuracy, with seeds 0, 1, ..."""
    return [trial(task, withheld, arm, seed, accuracy, **more) for seed, accuracy in enumerate(accuracies)]


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def cells_of(output: str) -> list[str]:
    """The lines of a printed table, with single spaces."""
    return [" ".join(line.split()) for line in output.splitlines()]


@pytest.fixture
def released(tmp_path: Path) -> str:
    """rmts at m = 85, trained on balanced problems, which differ from the paper's 100.0, and as released, which do not;
    and a pair at m = 95, where there is one protocol."""
    planned = [
        *rows("rmts", 85, "baseline", [0.90, 0.91, 0.92]),
        *rows("rmts", 85, "sampling=as_released", [1.0, 1.0, 1.0]),
        *rows("rmts", 95, "baseline", [0.95, 0.95, 0.95]),
    ]
    return write_study(tmp_path, "r", planned)


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A study on 100 images of the user's own."""
    arms = {OWN: [1.0, 1.0, 1.0], f"{OWN},encoder=mlp": [0.9, 0.8, 0.7]}
    return write_study(
        tmp_path,
        "o",
        [row for arm, accuracies in arms.items() for row in rows("same_different", 85, arm, accuracies, n_objects=100)],
    )


def test_deviations_are_the_counts_of_15_training_objects() -> None:
    same, different = 2 * math.perm(15, 4), 2 * math.perm(15, 5)
    assert (same + different) / same == 12
    assert 36 * math.comb(15, 3) == 16_380
    assert [point.trained_on for point in DEVIATIONS] == [
        "1 in 12 training problems with a same source",
        "16,380 training problems",
    ]
    assert {100 - point.withheld for point in DEVIATIONS} == {15}


def test_value_is_confounded_where_the_default_trial_follows_the_text() -> None:
    """The paper's own arms, as we train them: all of rmts at m = 85, and one cell of Table 13."""
    of_paper = [variant.cell for variant in variants(REGISTRY["paper"]) if variant.cell in published()]
    assert len(of_paper) == len(published())
    confounded = {cell for cell in of_paper if comparable(cell).confounded}
    table_13 = Cell("distribution_of_three", 85, "model=rn,n_train=100000")
    assert confounded == {cell for cell in of_paper if cell[:2] == ("rmts", 85)} | {table_13}
    for cell in of_paper:
        assert comparable(cell).paper == published()[cell]
        assert (comparable(cell).protocol == "as released") == (cell not in confounded)


def test_arms_as_released_have_the_value_of_the_arm_that_follows_the_text() -> None:
    planned = {variant.cell: variant for name in ("protocol", "paper") for variant in variants(REGISTRY[name])}
    as_released = {cell: variant for cell, variant in planned.items() if comparable(cell).paper.source}
    as_released = {cell: variant for cell, variant in as_released.items() if cell not in published()}
    expected = {arm_label({**arm, "sampling": "as_released"}) for arm in _models()} | {"model=rn,n_train=16380"}
    assert {cell.arm for cell in as_released} == expected
    for cell, variant in as_released.items():
        text = {name: value for name, value in variant.changes.items() if name not in ("sampling", "n_train")}
        text |= {"n_train": 100_000} if "n_train" in variant.changes else {}
        assert comparable(cell) == (published()[cell.task, cell.withheld, arm_label(text)], "as released", False)
        plain = PAPER.with_(task=cell.task, withheld=cell.withheld)
        assert plain.with_(**text).resolve() != variant.config, "the two are one trial, so nothing is confounded"


def _models() -> list[dict[str, str]]:
    return [{}, *({"model": name} for name in ("transformer", "ntm", "mnm", "lstm", "predinet", "rn"))]


def test_sampling_as_released_at_another_m_has_no_value() -> None:
    assert comparable(Cell("rmts", 50, "sampling=as_released")) == comparable(Cell("rmts", 50, "x=1"))


def test_own_images_have_the_value_of_the_same_arm_on_the_papers() -> None:
    cells = [planned.cell for planned in plan(REGISTRY["encoders"], seeds=1, images=IMAGES)]
    assert len(cells) == 51
    for cell in cells:
        value = comparable(cell)
        assert value.paper == published()[cell.task, cell.withheld, ",".join(cell.arm.split(",")[1:]) or BASELINE]
        assert value.confounded and value.protocol is not None
        assert value.protocol.split("; ")[0] == OWN_IMAGES
        assert ("; paper's text" in value.protocol) == (cell[:2] == ("rmts", 85))


def test_own_images_have_no_value_where_they_are_not_100(tmp_path: Path) -> None:
    """With 40 images m = 20 leaves 20 for training, with 200 m = 85 leaves 115; the word of the images says neither."""
    planned = [
        *rows("same_different", 85, "images=aaaa", [0.5], n_objects=200),
        *rows("same_different", 95, "images=aaaa,encoder=mlp", [0.5]),  # of unknown number: not trained yet
        *rows("same_different", 85, "images=bbbb", [0.5], n_objects=100),
    ]
    rows_of = table(write_study(tmp_path, "s", planned), "s").set_index("arm")
    assert rows_of["published_mean"].isna().to_dict() == {
        "images=aaaa": True,
        "images=aaaa,encoder=mlp": True,
        "images=bbbb": False,
    }


def test_table_marks_values_that_were_made_otherwise(released: str) -> None:
    lines = cells_of(esbn("table", "r", "--results", released).output)
    assert "rmts 85 baseline 3/3 0 91.0 ± 0.6 †100.0 ± 0.0 -9.0 Table 10, Table 16" in lines
    assert "rmts 85 sampling=as_released 3/3 0 100.0 ± 0.0 100.0 ± 0.0 +0.0 Table 10, Table 16" in lines
    (note,) = [line for line in lines if line.startswith("†")]
    assert "rmts, m = 85: 1 in 12 training problems with a same source (sampling=as_released)" in note
    assert "16,380" not in note


def test_table_has_no_mark_where_protocols_agree(tmp_path: Path) -> None:
    output = esbn("table", "s", "--results", write_study(tmp_path, "s", rows("rmts", 95, "baseline", [0.95]))).output
    assert "paper's values come from its released code" in output
    assert not re.search("[†‡]|unless marked", output)


def test_verdict_judges_both_protocols_and_marks_the_confounded_one(released: str) -> None:
    result = esbn("verdict", "r", "--results", released, "--format", "csv")
    judged = {(row["withheld"], row["arm"]): row for row in csv.DictReader(io.StringIO(result.output))}
    assert {at: row["confounded"] for at, row in judged.items()} == {
        ("85", "baseline"): "True",
        ("85", "sampling=as_released"): "False",
        ("95", "baseline"): "False",
    }
    text, code = (judged["85", arm]["protocol"] for arm in ("baseline", "sampling=as_released"))
    assert text == "paper's text, not the code's 1 in 12 training problems with a same source"
    assert code == "as released"
    printed = esbn("verdict", "r", "--results", released).output
    assert "†100.0" in printed
    assert any(line.startswith("†: ours follow the paper's text") for line in printed.splitlines())


@pytest.mark.parametrize(("arm", "code"), [("baseline", 0), ("sampling=as_released", 1)])
def test_verdict_fails_where_a_difference_is_not_confounded(arm: str, code: int, tmp_path: Path) -> None:
    results = write_study(tmp_path, "r", rows("rmts", 85, arm, [0.6] * 10))
    result = esbn("verdict", "r", "--results", results)
    assert result.exit_code == code
    assert f"1 differs{'' if code else ' (1 confounded)'}," in result.output


def test_verdict_judges_own_images_and_marks_them(own: str) -> None:
    result = esbn("verdict", "o", "--results", own)
    lines = cells_of(result.output)
    assert any(line.startswith(f"same_different 85 {OWN} 3/3 0 100.0 ± 0.0 ‡100.0 ± 0.0 +0.0 [") for line in lines)
    assert any(line.startswith("‡: ours were trained on your own images") for line in lines)
    assert "of 2 variants with a published value" in result.output


@pytest.mark.parametrize("format", ["markdown", "latex", "html"])
def test_marks_are_in_every_format(released: str, own: str, format: str) -> None:
    printed = [esbn("table", study, "--results", released, "--format", format).output for study in ("r", "o")]
    signs = (r"\dag{}100.0", r"\ddag{}100.0") if format == "latex" else ("†100.0", "‡100.0")
    assert [sign in text for sign, text in zip(signs, printed, strict=True)] == [True, True]


def test_figures_show_published_values_at_their_own_arms_only(released: str, own: str) -> None:
    """On paper, where the legend says what hollow marks are, and on the page, by arm."""
    hollow = {}
    for study in ("r", "o"):
        frame = load_study(released, study)
        legend = [text.get_text() for text in draw_accuracy(frame).findobj(Text)]
        assert ("hollow: paper" in legend) == (study == "r")
        rows = variant_accuracies(frame)
        for panel in accuracy_figures(rows, styles([row.arm for row in rows]), pd.DataFrame()):
            marks = [trace for trace in panel["data"] if trace["mode"] == "markers"]
            hollow |= {trace["meta"]["arm"]: trace["y"] for trace in marks}
    assert hollow == {"baseline": [100.0, 95.0], "sampling=as_released": [], OWN: [], f"{OWN},encoder=mlp": []}


@pytest.mark.parametrize(
    ("arms", "plain"),
    [
        (["encoder=mlp", "baseline"], "baseline"),
        ([f"{OWN},encoder=mlp", OWN, f"{OWN},tcn=none"], OWN),
        (["model=lstm", "model=lstm,tcn=none"], "model=lstm"),
        (["model=lstm", "model=ntm"], "baseline"),
        ([OWN, "images=ffff", "images=ffff,encoder=mlp"], "baseline"),
    ],
)
def test_plain_arm_is_the_one_that_all_others_add_to(arms: list[str], plain: str) -> None:
    assert plain_arm(arms) == plain
    assert plain_arm(arms[::-1]) == plain


@pytest.mark.parametrize("name", REGISTRY)
def test_plain_arm_of_a_declared_study_is_the_same_on_any_images(name: str) -> None:
    declared = plain_arm({variant.arm for variant in variants(REGISTRY[name], seeds=1)})
    own_arms = {variant.arm: variant.changes for variant in variants(REGISTRY[name], seeds=1, images=IMAGES)}
    assert declared == {"transformer_encoders": "model=transformer", "rn_problems": "model=rn"}.get(name, "baseline")
    if name == "trn":  # two models, neither of which is the other's plain form
        assert plain_arm(own_arms) == "baseline"
    else:
        assert arm_label(own_arms[plain_arm(own_arms)]) == declared


def test_compare_takes_the_plain_arm_of_own_images_for_the_baseline(own: str) -> None:
    result = esbn("compare", "o", "--results", own)
    assert result.exit_code == 0
    lines = cells_of(result.output)
    assert any(line.startswith(f"same_different 85 {OWN},encoder=mlp 3/3 -20.0 [") for line in lines)
    assert not any(line.startswith(f"same_different 85 {OWN} ") for line in lines)


def test_compare_over_conditions_takes_it_too(own: str) -> None:
    result = esbn("compare", "o", "--results", own, "--over-conditions")
    assert any(line.startswith(f"{OWN},encoder=mlp 1/1 -20.0") for line in cells_of(result.output))


def test_compare_asks_for_a_baseline_where_no_arm_is_plain(tmp_path: Path) -> None:
    planned = [row for arm in ("model=lstm", "model=ntm") for row in rows("rmts", 95, arm, [0.5])]
    result = esbn("compare", "s", "--results", write_study(tmp_path, "s", planned))
    assert result.exit_code == 1
    assert result.output.startswith("Error: baseline='baseline' is not an arm of s; ")


def test_report_compares_own_images_without_being_told_how(own: str) -> None:
    text = html(own, "o", "o")
    assert f"Difference from {OWN} (points)" in text
    assert "--baseline" not in text
    assert "--baseline images=0123abcd,encoder=mlp" in html(own, "o", "o", f"{OWN},encoder=mlp")


def test_topup_takes_the_plain_arm_too(tmp_path: Path) -> None:
    asked = ("topup", "transformer_encoders", "--for", "compare", "--budget", "9", "--dry-run")
    lines = cells_of(esbn(*asked, "--results", str(tmp_path)).output)
    assert any(line.startswith("rmts 95 model=transformer,encoder=mlp ") for line in lines)
    assert not any(line.startswith("rmts 95 model=transformer ") for line in lines)
