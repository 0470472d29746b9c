"""What all figures share: two styles, the sheet with a legend above and notes below, and saving."""

import functools
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.errors import AnalysisError

P = ParamSpec("P")
R = TypeVar("R")

FORMATS = ("png", "svg", "pdf")


class Sizes(NamedTuple):
    """Factors on the sizes of a figure for a paper page 7 inches wide."""

    width: float
    height: float  # of panels
    text: float  # and of lines and markers


STYLES = {"paper": Sizes(1, 1, 1), "talk": Sizes(13.33 / 7, 1.45, 2.1)}
"""Sizes by style; talk: for a slide of 13.33 x 7.5 inches, text larger against the panels."""

NOTE_SIZE = 6.5  # points

_LINE_HEIGHT, _CHARS_PER_INCH = 0.115, 20.0  # inches; both of notes in DejaVu Sans
_HANDLE_WIDTH, _LABEL_WIDTH = 0.52, 0.062  # inches of a legend per entry and per character
_VECTOR = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # the same bytes in every run
_sizes = ContextVar("sizes", default=STYLES["paper"])


@contextmanager
def using(style: str) -> Iterator[None]:
    """Draws in another style than paper; raises `KeyError` if there is no such style."""
    token = _sizes.set(STYLES[style])
    try:
        yield
    finally:
        _sizes.reset(token)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Runs a function with the settings of the style in use, and leaves those of the caller alone."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_settings()):
            return draw(*args, **kwargs)

    return in_style


def points(size: float) -> float:
    """A size of text, a line or a marker on paper, in points of the style in use."""
    return size * _sizes.get().text


def _settings() -> dict[Any, Any]:
    return {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=points(0.85)),
        "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
        "mathtext.fontset": "dejavusans",  # some markers are glyphs of it
        "legend.frameon": False,
        "legend.handlelength": 3.6,
        "lines.linewidth": points(1.1),
        "lines.markersize": points(4.5),
        **{f"{axis}tick.major.{part}": points(size) for axis in "xy" for part, size in (("width", 0.8), ("size", 3.5))},
        "axes.linewidth": points(0.8),
        "hatch.linewidth": points(0.5),
        "savefig.dpi": 300 if _sizes.get() == STYLES["paper"] else 150,
        "pdf.fonttype": 42,  # letters stay letters
        "svg.hashsalt": "esbn-study",  # identifiers in SVG files, the same in every run
    }


def sheet(
    places: Sequence[tuple[int, int]], width: float, height: float, handles: Sequence[Artist], notes: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """A figure with a legend above, a panel at each place (row, column), and notes below.

    Args:
        width, height: of the figure and of a panel, in inches on paper.
        handles: entries of the legend.
    """
    sizes = _sizes.get()
    rows, columns = (1 + max(numbers) for numbers in zip(*places, strict=True))
    wide = width * sizes.width
    across = int(wide / sizes.text * _CHARS_PER_INCH)
    lines = [line for note in notes for line in textwrap.wrap(note, across, break_on_hyphens=False)]
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    per_row = max(1, int(wide / sizes.text / (_HANDLE_WIDTH + _LABEL_WIDTH * longest)))
    legend_rows = math.ceil(len(handles) / per_row)
    above = (0.17 * legend_rows + 0.08) * sizes.text
    below = (_LINE_HEIGHT * len(lines) + 0.06) * sizes.text
    total = rows * height * sizes.height + above + below
    engine = ConstrainedLayoutEngine(rect=(0, below / total, 1, 1 - below / total), w_pad=0.04, h_pad=0.04)
    figure = Figure(figsize=(wide, total), layout=engine)
    grid = figure.add_gridspec(rows, columns)
    panels = [figure.add_subplot(grid[row, column]) for row, column in places]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=math.ceil(len(handles) / legend_rows))
    bottom = (below - 0.03) / total
    figure.text(0.01, bottom, "\n".join(lines), size=points(NOTE_SIZE), va="top", color="0.25", gid="notes")
    return figure, panels


def label_outer(panels: Sequence[Axes], places: Sequence[tuple[int, int]], x_label: str, y_label: str) -> None:
    """Axis labels only where no panel is below or to the left."""
    for panel, (row, column) in zip(panels, places, strict=True):
        if (row + 1, column) not in places:
            panel.set_xlabel(x_label)
        if column == 0:
            panel.set_ylabel(y_label)


@styled
def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Writes a figure in each of `FORMATS`; the paths. Raises `AnalysisError` if ``out`` cannot be written."""
    paths = [out / f"{name}.{kind}" for kind in FORMATS]
    try:
        out.mkdir(parents=True, exist_ok=True)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # places are found once, not for each format
        for path, kind in zip(paths, FORMATS, strict=True):
            figure.savefig(path, metadata=_VECTOR.get(kind))
    except OSError as error:
        raise AnalysisError(f"out={str(out)!r} cannot be written: {error}; name another folder") from None
    return paths
