"""Figures 3 to 10 of the paper: their panels and order, and that no fault of a store is drawn as if whole."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from analysis_store import Row, curve, key_rows, object_rows, plan_row, trial, write_study
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from panels import lines, notes, points

from analysis import AnalysisError
from analysis.data.cells import load_cells
from analysis.data.curves import curves_of
from analysis.data.published import published
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.curves import draw_curves
from analysis.figures.keys import draw_similarities
from analysis.figures.paper import FIGURES, RUNS, PaperFigure, save_paper
from analysis.figures.sheet import drawing_for
from analysis.findings.key_geometry import trace
from analysis.findings.key_measures import similarity
from esbn_core.vocabulary import Cell
from study.cli.main import main
from study.cli.studies import run as run_command
from study.planning.declarations import find_study
from study.planning.plan import Selection
from study.planning.study_plan import plan_study
from study.store.schema import TABLES
from study.store.store import Store

KEYS = "distribution_of_three"
CELL = ("same_different", 98, "baseline")


def of(arm: str, n: int = 10, task: str = "same_different", withheld: int = 98, **more: object) -> list[Row]:
    config = json.dumps({"learning_rate": 0.0005, "seed": 0})
    accuracies = [min(1.0, 0.9 + seed / 100) for seed in range(n)]
    return [trial(task, withheld, arm, i, a, **{"config": config, **more}) for i, a in enumerate(accuracies)]


def saved(results: str, out: Path) -> tuple[list[str], list[str]]:
    """Names of the figures that were drawn, and what was told."""
    told: list[str] = []
    paths = save_paper(results, out, tell=told.append)
    return [path.stem for path in paths if path.suffix == ".png"], told


@pytest.fixture
def png_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One format of three, which test_study.py compares, since each takes seconds."""
    monkeypatch.setattr("analysis.figures.sheet.FORMATS", ("png",))


def figure3(results: str) -> Figure:
    frame, _ = load_cells(results, FIGURES[0].cells(), 10)
    return draw_accuracy(frame, FIGURES[0].arms, FIGURES[0].notes)


def test_figures_have_the_papers_panels_and_order() -> None:
    of_name = {figure.name: figure for figure in FIGURES}
    assert list(of_name) == [f"figure{number}" for number in range(3, 9)]
    assert len(of_name["figure3"].cells()) == 17 * 7
    assert {len(of_name[name].panels) for name in ("figure3", "figure6")} == {4}
    assert list(of_name["figure4"].panels) == ["rmts", "distribution_of_three", "identity_rules"]
    assert of_name["figure5"].panels == {"same_different": (0,)} and of_name["figure8"].panels == {"rmts": (0,)}
    first = [arm for task, m, arm in of_name["figure3"].cells() if (task, m) == ("rmts", 0)]
    models = ("transformer", "ntm", "mnm", "lstm", "predinet", "rn")
    assert first == ["baseline", *(f"model={name}" for name in models)]


@pytest.mark.parametrize("figure", [figure for figure in FIGURES if figure.kind != "curves"], ids=lambda f: f.name)
def test_every_cell_beside_a_published_value_has_one(figure) -> None:
    assert set(figure.cells()) <= set(published())


def test_predinet_is_without_tcn_on_same_different_alone() -> None:
    predinets = {(task, arm) for task, _, arm in FIGURES[0].cells() if "predinet" in arm}
    assert ("same_different", "model=predinet,tcn=none") in predinets
    assert {arm for task, arm in predinets if task != "same_different"} == {"model=predinet"}


def test_whole_cell_is_drawn_whole_whichever_studies_trained_it(tmp_path: Path) -> None:
    rows = of("baseline")
    write_study(tmp_path, "one", rows[:4])
    panel = figure3(write_study(tmp_path, "two", rows[4:])).axes[0]
    assert points(panel, "ours")[:, 1] == pytest.approx([94.5])
    assert not len(points(panel, "incomplete"))


def faulty(folder: Path) -> str:
    """Same/different at m = 98: seven models, each with another fault, the last whole."""
    arms = [arm for task, m, arm in FIGURES[0].cells() if (task, m) == CELL[:2]]
    missing, mixed, failed, doubled, relearned, _, whole = arms
    rows = {arm: of(arm) for arm in arms}
    rows[missing] = rows[missing][:9]
    rows[mixed] = of(mixed, 5) + of(mixed, config=json.dumps({"learning_rate": 0.00005, "seed": 0}))[5:]
    rows[failed][3] = trial("same_different", 98, failed, 3, None)
    rows[arms[5]] = []
    results = write_study(folder, "s", [row for arm in arms for row in rows[arm]])
    store = Store(results)
    store.write("trials", "earlier", [{**rows[doubled][2], "trial_id": "earlier"}])
    store.write("trials", "later", [{**rows[relearned][7], "trial_id": "later"}])
    rehearsed = trial("same_different", 98, arms[5], 0, 1.0, rehearsal=True)
    store.write("trials", rehearsed["trial_id"], [rehearsed])
    store.write("plans", "rehearsal", [plan_row("s", rehearsed)])
    assert whole == "model=rn"
    return results


def test_no_fault_is_drawn_as_if_whole(tmp_path: Path) -> None:
    panel = figure3(faulty(tmp_path)).axes[0]
    (whole,) = [line for line in lines(panel, "ours") if np.size(line.get_xydata())]
    assert whole.get_marker() == "*"  # the Relation net
    assert len(points(panel, "ours")) == 1
    incomplete = [line.get_marker() for line in lines(panel, "incomplete") if np.size(line.get_xydata())]
    assert incomplete == ["o", "<"]  # one missing, one failed
    assert len(points(panel, "incomplete")) == 2
    at_98 = points(panel, "paper")[:, 0] > 3.5
    assert at_98.sum() == 7  # the paper's values stand there alone


@pytest.mark.usefixtures("png_alone")
def test_every_fault_is_named_under_the_figure_and_on_the_terminal(tmp_path: Path) -> None:
    results = faulty(tmp_path / "results")
    run = CliRunner().invoke(main, ["figures", "paper", "--results", results, "-o", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    under = notes(_again(results))
    for fault in (
        "Same/different, m = 98, ESBN (baseline) (9 of 10 trained, 1 missing)",
        "Same/different, m = 98, NTM (9 of 10 trained, 1 failed)",
        "Same/different, m = 98, Transformer (2 protocols mixed: learning_rate 0.0005 and 5e-05)",
        "Same/different, m = 98, MNM (seed 2 occurs twice; delete the outdated file)",
        "Same/different, m = 98, LSTM (seed 7 occurs twice; delete the outdated file)",
        "Same/different, m = 0, 50, 85, 95, 98, PrediNet, no TCN;",
        "Rehearsals at these tasks and m, left out: 1.",
    ):
        assert fault in run.stderr
        assert fault in under
    assert "None trained" in run.stderr and "figure5: not drawn" in run.stderr


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_runs_that_are_named_for_a_figure_train_all_of_it_and_each_is_needed(figure: PaperFigure) -> None:
    trained = [cells_of_run(arguments) for arguments in RUNS[figure.name]]
    assert {*figure.cells()} <= set().union(*trained)
    for cells in trained:
        others = [other for other in trained if other is not cells]
        assert {*figure.cells()} - set().union(*others), "the others are enough"


def cells_of_run(arguments: str) -> set[Cell]:
    """What `esbn run` with these arguments trains."""
    given = run_command.make_context("run", arguments.split()).params
    selection = Selection(tasks=given["tasks"], withheld=given["withheld"])
    return {trial.cell for trial in plan_study(find_study(given["study"]), selection).trials}


def _again(results: str) -> Figure:
    frame, rehearsed = load_cells(results, FIGURES[0].cells(), 10)
    return draw_accuracy(frame, FIGURES[0].arms, [f"Rehearsals at these tasks and m, left out: {len(rehearsed)}."])


def test_curves_of_an_incomplete_arm_are_pale_and_named(tmp_path: Path) -> None:
    rows = of("baseline", 10, withheld=0) + of("model=ntm", 4, withheld=0)
    results = write_study(tmp_path, "s", rows)
    for row in rows:
        Store(results).write("curves", row["trial_id"], curve(row["trial_id"], [0.5, 1.0]))
    frame, _ = load_cells(results, FIGURES[2].cells(), 10)
    figure = draw_curves(frame, curves_of(results, frame), FIGURES[2].arms)
    assert [line.get_marker() for line in lines(figure, "mean")] == ["o"]
    assert [line.get_marker() for line in lines(figure, "incomplete")] == ["<"]
    assert "Incomplete: Same/different, m = 0, NTM (4 of 10 trained, 6 missing)." in notes(figure)


def test_settings_written_in_another_order_of_seeds_are_one_protocol(tmp_path: Path) -> None:
    rows = [{**row, "config": json.dumps({"a": 1, "seed": row["seed"], "z": 2})} for row in of("baseline")]
    assert len(points(figure3(write_study(tmp_path, "s", rows)), "ours")) == 1


def test_seeds_beyond_the_papers_ten_count(tmp_path: Path) -> None:
    text = notes(figure3(write_study(tmp_path, "s", of("baseline", 12))))
    assert "n = 12 trained networks" in text


@pytest.mark.parametrize(
    "rows", [[], of("baseline", 3, rehearsal=True), of("own=1", 3)], ids=["no", "rehearsed", "own"]
)
def test_a_store_with_nothing_of_the_paper_is_refused_with_what_would_help(tmp_path: Path, rows: list[Row]) -> None:
    results = write_study(tmp_path, "s", rows) if rows else str(tmp_path / "nowhere")
    with pytest.raises(AnalysisError, match="has no data for Figures 3 to 10 yet; `esbn run quickstart`"):
        save_paper(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def quickstart(tmp_path: Path) -> str:
    """What a quickstart leaves, in small: two tasks, keys of two networks, images."""
    rows = of("baseline", 3, images_hash="h") + of("encoder=mlp", 3)
    keyed = of("baseline", 2, task=KEYS, withheld=95)
    write_study(tmp_path, "quickstart", rows)
    results = write_study(tmp_path, "keyed", keyed, keys=True)
    store = Store(results)
    for row in keyed:
        store.write("keys", row["trial_id"], key_rows(row["trial_id"]))
    store.write("objects", "h", object_rows("h"))
    return results


@pytest.mark.usefixtures("png_alone")
def test_a_quickstart_gives_the_figures_it_has_something_for(quickstart: str, tmp_path: Path) -> None:
    drawn, told = saved(quickstart, tmp_path / "out")
    assert drawn == ["figure3", "figure6", "figure9", "key_similarity", "figure10"]
    assert {line.split(":")[0] for line in told if "not drawn" in line} == {f"figure{i}" for i in (4, 5, 7, 8)}
    assert any(line.startswith("figure3: Incomplete: Same/different, m = 98") for line in told)


def test_talk_fits_a_slide_and_has_larger_text_for_its_width(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", of("baseline"))
    paper = figure3(results)
    with drawing_for("talk"):
        talk = figure3(results)
    wider = talk.get_figwidth() / paper.get_figwidth()
    assert (paper.get_figwidth(), talk.get_figwidth()) == pytest.approx((7.0, 13.33))
    (small,), (large,) = paper.texts, talk.texts
    assert float(large.get_fontsize()) > wider * float(small.get_fontsize())
    assert points(talk, "ours").tolist() == points(paper, "ours").tolist()


def test_similarity_is_one_where_training_and_test_write_one_key() -> None:
    written = trace(pa.Table.from_pylist(key_rows("net"), schema=TABLES["keys"]))
    keys_PTK = np.tile(written.keys[0], (len(written.keys), 1, 1))
    cosines_TT = similarity(written._replace(keys=keys_PTK))
    assert np.diag(cosines_TT) == pytest.approx(np.ones(9))
    centred_TK = keys_PTK[0] - keys_PTK[0].mean(axis=0)
    expected = centred_TK[1] @ centred_TK[4] / np.linalg.norm(centred_TK[1]) / np.linalg.norm(centred_TK[4])
    assert cosines_TT[1, 4] == pytest.approx(expected)


def test_similarity_has_training_steps_down_and_test_steps_across() -> None:
    written = trace(pa.Table.from_pylist(key_rows("net"), schema=TABLES["keys"]))
    keys_PTK = written.keys.copy()
    keys_PTK[~written.train] = np.roll(keys_PTK[~written.train], 1, axis=1)  # test step t has the key of t - 1
    cosines_TT = similarity(written._replace(keys=keys_PTK))
    assert cosines_TT.argmax(axis=1).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 0]


def test_similarity_figure_frames_what_holds_by_construction_and_says_so() -> None:
    figure = draw_similarities({"net": np.stack([np.eye(9), np.eye(9) * 0.8])}, {"net": 2})
    (frame,) = [patch for patch in figure.axes[0].patches if patch.get_gid() == "by construction"]
    assert isinstance(frame, Rectangle) and frame.get_bbox().bounds == (0.5, 0.5, 2, 2)
    assert "Framed: keys that are the same for training and test by construction" in notes(figure)
    assert figure.axes[0].get_title() == "net\nn = 2 networks, SEM up to 0.10"
    assert [text.get_text() for text in figure.axes[0].texts[:2]] == ["0.9", "0.0"]
