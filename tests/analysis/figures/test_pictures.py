"""The figures as descriptions of what they show, beside stored ones; and that a description sees what a reader sees.

`pytest tests/analysis/figures/test_pictures.py --force-regen` writes the stored ones again, from data made up here.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from analysis_store import curve, key_rows, trial, write_study
from figure_text import describe
from matplotlib.figure import Figure
from matplotlib.text import Text
from pytest_regressions.data_regression import DataRegressionFixture

from analysis.data.cells import load_cells
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.curves import draw_curves
from analysis.figures.keys import draw_keys, draw_similarities
from analysis.figures.sheet import drawing_for
from analysis.findings.key_geometry import trace
from analysis.findings.key_measures import similarity
from study.store.schema import TABLES

ARMS = ("baseline", "model=ntm", "model=lstm")
CELLS = [
    (task, m, arm)
    for task, withheld in (("rmts", (0, 95)), ("same_different", (98,)))
    for m in withheld
    for arm in ARMS
]


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """Three of three networks, two of three, none; and no network at all at m = 95 of rmts."""
    arms = {"baseline": 3, "model=ntm": 2}
    places = [("rmts", 0), ("same_different", 98)]
    rows = [
        trial(task, m, arm, seed, 0.9 - 0.1 * (arm != "baseline") + seed / 50)
        for task, m in places
        for arm, n in arms.items()
        for seed in range(n)
    ]
    return load_cells(write_study(tmp_path, "s", rows), CELLS, 3)[0]


def accuracy(frame: pd.DataFrame) -> Figure:
    return draw_accuracy(frame, ARMS, ["A note."])


def bars(frame: pd.DataFrame) -> Figure:
    return draw_accuracy(frame, ARMS, ["A note."], bars=True)


def curves(frame: pd.DataFrame) -> Figure:
    completed = frame.loc[frame["status"] == "completed", "trial_id"]
    rows = [row for i, name in enumerate(completed) for row in curve(name, [0.5, 0.5 + i / 50, 0.8, 1.0])]
    return draw_curves(frame, pd.DataFrame(rows), ARMS, ["A note."])


def talk(frame: pd.DataFrame) -> Figure:
    with drawing_for("talk"):
        return accuracy(frame)


def keys(frame: pd.DataFrame) -> Figure:
    return draw_keys(written(), "distribution_of_three", 2)


def similarities(frame: pd.DataFrame) -> Figure:
    cosines_TT = similarity(trace(written()))
    return draw_similarities({"a network": cosines_TT[None]}, {"a network": 2})


def written() -> pa.Table:
    return pa.Table.from_pylist(key_rows("net", n_train=2, n_test=3), schema=TABLES["keys"])


DRAWN: list[Callable[[pd.DataFrame], Figure]] = [accuracy, bars, curves, talk, keys, similarities]


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_figure_shows_what_it_showed(
    draw: Callable[[pd.DataFrame], Figure], frame: pd.DataFrame, data_regression: DataRegressionFixture
) -> None:
    data_regression.check(describe(draw(frame)))


def move_a_marker(figure: Figure) -> None:
    (line,) = [line for line in figure.axes[0].lines if line.get_gid() == "ours" and line.get_marker() == "o"]
    line.set_ydata(np.asarray(line.get_ydata(), float) + 0.1)  # a tenth of a percent


def lose_a_label(figure: Figure) -> None:
    figure.axes[1].set_title("")


def lose_a_note(figure: Figure) -> None:
    figure.texts[0].set_text(figure.texts[0].get_text().replace("ddof 1", ""))


def fill_a_hollow_marker(figure: Figure) -> None:
    next(line for line in figure.axes[0].lines if line.get_gid() == "paper").set_markerfacecolor("black")


def swap_two_colours(figure: Figure) -> None:
    first, second = [line for line in figure.axes[0].lines if line.get_gid() == "paper"][:2]
    first.set_color(second.get_color())


def lose_an_error_bar(figure: Figure) -> None:
    figure.axes[0].collections[0].remove()


def unhatch(figure: Figure) -> None:
    next(patch for patch in figure.axes[0].patches if patch.get_gid() == "untrained").remove()


def rename_in_the_legend(figure: Figure) -> None:
    figure.legends[0].get_texts()[1].set_text("LSTM")


def cut_an_axis(figure: Figure) -> None:
    figure.axes[0].set_ylim(bottom=60)


def swap_two_panels(figure: Figure) -> None:
    first, second = figure.axes
    title = first.get_title()
    first.set_title(second.get_title())
    second.set_title(title)


FAULTS = [
    move_a_marker, lose_a_label, lose_a_note, fill_a_hollow_marker, swap_two_colours, lose_an_error_bar, unhatch,
    rename_in_the_legend, cut_an_axis, swap_two_panels,
]  # fmt: skip


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_description_sees(spoil: Callable[[Figure], None], frame: pd.DataFrame) -> None:
    figure = accuracy(frame)
    before = describe(figure)
    assert describe(figure) == before
    spoil(figure)
    assert describe(figure) != before


def test_description_does_not_see_pixels_and_fonts(frame: pd.DataFrame, tmp_path: Path) -> None:
    figure = accuracy(frame)
    before = describe(figure)
    figure.set_dpi(37)
    figure.savefig(tmp_path / "rendered.png")  # finds places, which depend on the sizes of letters
    for text in figure.findobj(Text):
        text.set_fontfamily("DejaVu Serif")
    assert describe(figure) == before
