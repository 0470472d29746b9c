"""Parts shared by figures: sizes for paper and talk, layout with legend and notes, markers of arms, saving."""

import functools
import io
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from analysis.errors import AnalysisError
from analysis.figures.palette import Style
from analysis.figures.plotting import (
    Artist,
    Axes,
    ConstrainedLayoutEngine,
    Figure,
    Line2D,
    Patch,
    seaborn,
    settings,
    to_rgb,
)
from esbn_core.files import write_file

P = ParamSpec("P")
R = TypeVar("R")

FORMATS = ("png", "svg", "pdf")


class Sizes(NamedTuple):
    """Scale factors relative to a figure for a paper page 7 inches wide."""

    width: float
    height: float  # of panels
    text: float  # also of lines and markers


SIZES = {"paper": Sizes(1, 1, 1), "talk": Sizes(13.33 / 7, 1.45, 2.1)}
"""Sizes by medium; talk: for a slide of 13.33 x 7.5 inches, with larger text relative to the panels."""

NOTE_SIZE = 6.5  # points

GREY = Style("0.2", "o", "-")  # for legend entries that apply to all arms
UNTRAINED: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.85", "hatch": "////", "linewidth": 0,
                             "gid": "untrained"}  # fmt: skip
_PALE = 0.75  # share of white in marks with fewer networks than planned

_LINE_HEIGHT, _CHARS_PER_INCH = 0.115, 20.0  # inches; both of notes in DejaVu Sans
_HANDLE_WIDTH, _LABEL_WIDTH = 0.52, 0.062  # inches of a legend per entry and per character
_VECTOR = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # for reproducible files
_sizes = ContextVar("sizes", default=SIZES["paper"])


@contextmanager
def drawing_for(medium: str) -> Iterator[None]:
    """Draws for paper or talk; raises `KeyError` for any other medium."""
    token = _sizes.set(SIZES[medium])
    try:
        yield
    finally:
        _sizes.reset(token)


def with_settings(draw: Callable[P, R]) -> Callable[P, R]:
    """Runs a function with the settings of the current medium, without changing the caller's."""

    @functools.wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        with settings(_settings()):
            return draw(*args, **kwargs)

    return drawing


def scaled(size: float) -> float:
    """Converts a size on paper (text, line or marker; in points) to the current medium."""
    return size * _sizes.get().text


def _settings() -> dict[Any, Any]:
    return {
        **seaborn.axes_style("ticks"),
        **seaborn.plotting_context("paper", font_scale=scaled(0.85)),
        "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
        "mathtext.fontset": "dejavusans",  # some markers are glyphs of it
        "legend.frameon": False,
        "legend.handlelength": 3.6,
        "lines.linewidth": scaled(1.1),
        "lines.markersize": scaled(4.5),
        **{f"{axis}tick.major.{part}": scaled(size) for axis in "xy" for part, size in (("width", 0.8), ("size", 3.5))},
        "axes.linewidth": scaled(0.8),
        "hatch.linewidth": scaled(0.5),
        "savefig.dpi": 300 if _sizes.get() == SIZES["paper"] else 150,
        "pdf.fonttype": 42,  # keeps text as text
        "svg.hashsalt": "esbn-study",  # reproducible identifiers in SVG files
    }


def make_sheet(
    places: Sequence[tuple[int, int]], width: float, height: float, handles: Sequence[Artist], notes: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """Makes a figure with a legend above, a panel at each place (row, column), and notes below.

    Args:
        width, height: width of the figure and height of a panel, in inches on paper.
        handles: legend entries.
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
    figure.text(0.01, bottom, "\n".join(lines), size=scaled(NOTE_SIZE), va="top", color="0.25", gid="notes")
    return figure, panels


def arm_handle(style: Style) -> Line2D:
    """Returns the legend entry of an arm."""
    line: dict[str, Any] = {"color": style.color, "marker": style.marker, "linestyle": style.line}
    return Line2D([], [], **line, markeredgewidth=0, label=style.label)


def untrained_handles(there: bool) -> list[Artist]:
    """Returns the legend entry of `UNTRAINED`, if it is used."""
    return [Patch(**UNTRAINED, label="none trained at this m")] if there else []


def marker(style: Style, size: float, whole: bool) -> dict[str, Any]:
    """Returns the marker of a mean over all planned networks, or a pale one with an edge for fewer."""
    pale = {"markerfacecolor": lighter(style.color, _PALE), "markeredgewidth": scaled(0.7)}
    filled = {"markeredgewidth": 0}
    return {"color": style.color, "marker": style.marker, "markersize": scaled(size), **(filled if whole else pale)}


def lighter(color: str, white: float) -> tuple[float, float, float]:
    """Returns a colour with a share of white mixed in."""
    red, green, blue = (white + (1 - white) * part for part in to_rgb(color))
    return red, green, blue


def label_outer(panels: Sequence[Axes], places: Sequence[tuple[int, int]], x_label: str, y_label: str) -> None:
    """Labels only the outer axes: those without a panel below or to the left."""
    for panel, (row, column) in zip(panels, places, strict=True):
        if (row + 1, column) not in places:
            panel.set_xlabel(x_label)
        if column == 0:
            panel.set_ylabel(y_label)


@with_settings
def save(figure: Figure, out: str | Path, name: str) -> list[Path]:
    """Writes a figure in each of `FORMATS` and returns the paths.

    Raises:
        AnalysisError: ``out`` cannot be written.
    """
    paths = [Path(out, f"{name}.{kind}") for kind in FORMATS]
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # fixes the layout for all formats
        for path, kind in zip(paths, FORMATS, strict=True):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, metadata=_VECTOR.get(kind))
            write_file(path, drawn.getbuffer())
    except OSError as error:
        raise AnalysisError(f"out={str(out)!r} cannot be written: {error.strerror}; name another folder") from None
    return paths
