"""Figures of keys of every task: their panels by the roles of the task, their words, and what is not drawn."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from analysis_store import Row, key_rows_of, plan_row, trial, write_study
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from panels import notes, scatter

from analysis.figures.keys import draw_keys, draw_similarities
from analysis.findings import key_geometry
from analysis.page.build import html
from study.cli.main import main
from study.store.schema import TABLES
from study.store.store import Store

PROBLEMS = {
    "same_different": [(0, 0), (0, 1), (2, 2)],
    "rmts": [(0, 0, 1, 1, 2, 3), (0, 0, 1, 2, 3, 3), (0, 1, 2, 3, 4, 4), (0, 1, 2, 2, 3, 4)],
    "distribution_of_three": [(0, 1, 2, 1, 2, 0, 1, 2, 3), (2, 1, 0, 0, 1, 3, 2, 0, 1)],
    "identity_rules": [(0, 0, 0, 1, 1, 0, 1, 2, 3), (0, 1, 0, 2, 3, 0, 1, 2, 3), (0, 1, 1, 2, 3, 3, 2, 1, 0)],
}
ROLES = {"same_different": [1], "rmts": [1, 3, 5], "distribution_of_three": [1, 2, 3], "identity_rules": [1, 2, 4, 5]}


def rows_of(task: str, trial_id: str = "net") -> list[Row]:
    return key_rows_of(trial_id, PROBLEMS[task] * 2, PROBLEMS[task])


def drawn(rows: list[Row], task: str, same: int = 2) -> Figure:
    return draw_keys(pa.Table.from_pylist(rows, schema=TABLES["keys"]), task, same)


@pytest.mark.parametrize("task", PROBLEMS)
def test_panels_show_the_roles_of_the_task(task: str) -> None:
    rows = rows_of(task)
    figure = drawn(rows, task)
    a, b, c = figure.axes
    reads = key_geometry.reads(key_geometry.trace(pa.Table.from_pylist(rows, schema=TABLES["keys"])))
    compared = ROLES[task] if len(ROLES[task]) > 1 else [1, 2]  # one point of keys is no picture
    assert b.get_title(loc="left") == f"b  Written, t = {', '.join(map(str, compared))}"
    assert {artist.get_gid() for artist in b.collections} == {f"{s}{t}" for t in compared for s in ("test", "train")}
    assert {artist.get_gid() for artist in c.collections} == {f"{s}{t}" for t in ROLES[task] for s in ("test", "train")}
    assert {artist.get_gid() for artist in a.collections} == {f"k{t + 1}" for t in range(len(PROBLEMS[task][0]))}
    for role in ROLES[task]:
        assert len(scatter(c, f"test{role}")) == ((reads.role == role) & ~reads.train).sum() > 0
    assert f"of {len(reads.role)} reads" in c.texts[0].get_text()


@pytest.mark.parametrize(
    ("task", "same", "words"),
    [
        (
            "rmts",
            2,
            "Relational match-to-sample, one network (trial net); 8 training and 4 test problems. Steps",
        ),
        ("rmts", 2, "The keys of steps 1 and 2 agree for training and test by construction"),
        ("rmts", 3, "The keys of steps 1 to 3 agree for training and test by construction"),
        ("rmts", 0, "No keys agree by construction, since the leak"),
        ("same_different", 3, "By construction, the keys of all steps agree for training and test"),
    ],
)
def test_note_says_what_the_steps_show_and_what_agrees_by_construction(task: str, same: int, words: str) -> None:
    assert words in notes(drawn(rows_of(task), task, same))


def test_keys_of_problems_that_show_nothing_again_are_drawn_without_reads() -> None:
    figure = drawn(key_rows_of("net", [(0, 1), (2, 3)], [(5, 6)]), "same_different")
    c = figure.axes[2]
    assert [text.get_text() for text in c.texts] == ["no object is shown again"]
    assert not c.collections


def test_keys_on_one_line_are_drawn_with_a_height() -> None:
    rows = [row | {"key": [float(row["step"])] * 4} for row in rows_of("same_different")]
    rows = [row | {"read": [0.5] * 4} if "read" in row else row for row in rows]
    figure = drawn(rows, "same_different")
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert high - low > 0.05
    assert figure.axes[1].get_xlabel() == "Component 1 (100.0 %)"
    assert figure.axes[0].get_ylabel() == "Component 2 (0.0 %)"


def test_similarities_frame_the_steps_of_each_variant_that_agree_by_construction() -> None:
    cosines = {"two steps": np.eye(2), "six steps": np.eye(6), "leak": np.eye(6), "no keys": np.full((6, 6), np.nan)}
    same = {"two steps": 3, "six steps": 3, "leak": 0, "no keys": 2}
    figure = draw_similarities({title: each[None] for title, each in cosines.items()}, same)
    sides = []
    for axes in figure.axes[:4]:
        frames = [patch for patch in axes.patches if patch.get_gid() == "by construction"]
        sides.append([frame.get_bbox().width for frame in frames if isinstance(frame, Rectangle)])
    assert sides == [[2], [3], [], [2]]
    assert {text.get_text() for text in figure.axes[3].texts} == {"\N{EN DASH}"}


@pytest.fixture
def results(tmp_path: Path) -> str:
    """Two tasks with keys, and a network whose keys are not there."""
    rows = [trial(task, 95, "baseline", 0, 0.9) for task in ("same_different", "rmts", "identity_rules")]
    folder = write_study(tmp_path / "results", "s", rows)
    Store(folder).write("plans", "s", [plan_row("s", row, True) for row in rows])
    for row in rows[:2]:
        Store(folder).write("keys", row["trial_id"], rows_of(row["task"], row["trial_id"]))
    return folder


LACKING = "No keys of identity_rules, m = 95, baseline: its keys are not recorded yet; run the study again."


def test_command_draws_every_task_and_names_what_it_does_not_draw(
    results: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.figures.sheet.FORMATS", ("svg",))  # quickest
    done = CliRunner().invoke(main, ["figures", "s", "--results", results, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [LACKING]
    names = {path.stem for path in (tmp_path / "out").iterdir() if path.suffix == ".svg"}
    assert names >= {"keys_same_different_m95_seed0", "keys_rmts_m95_seed0", "key_similarity"}
    assert "keys_identity_rules_m95_seed0" not in names


def test_page_has_the_keys_of_every_task_and_names_those_that_are_not_there(results: str) -> None:
    part = html(results, "s", "s", "baseline").partition('<section id="keys">')[2].partition("</section>")[0]
    assert "Same/different, m = 95, baseline, seed 0" in part
    assert "Relational match-to-sample, m = 95, baseline, seed 0" in part
    assert LACKING in part
    assert [f'value="r{t}"' in part for t in range(1, 7)] == [True, False, True, False, True, False]
