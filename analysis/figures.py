"""The figures of a study: one function each, frame in, matplotlib Figure out; `save_all` writes them.

Sizes are in inches, for a page 7 in wide. Accuracies are fractions in the frames and percent on the axes.
"""

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis import key_geometry
from analysis.errors import AnalysisError
from analysis.load import VARIANT, load_study, read, tables_with_rows
from analysis.palette import Style, styles
from analysis.stats import summarise
from analysis.tables import PUBLISHED_N, shortfall, variants

TASK_TITLES = {
    "same_different": "Same/different",
    "rmts": "Relational match-to-sample",
    "distribution_of_three": "Distribution of three",
    "identity_rules": "Identity rules",
}
CHANCE = {"same_different": 0.5, "rmts": 0.5, "distribution_of_three": 0.25, "identity_rules": 0.25}

_FADED = 0.35  # opacity of a variant with fewer trials than planned
_NOTE_SIZE, _LINE_HEIGHT, _CHARS_PER_INCH = 6.5, 0.115, 21.0  # notes under a figure: points, inches, DejaVu Sans
_STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper", font_scale=0.85),
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "axes.linewidth": 0.8,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "savefig.dpi": 300,
    "svg.hashsalt": "esbn-study",  # identifiers in SVG files, the same in every run
}


@matplotlib.rc_context(_STYLE)
def accuracy(frame: pd.DataFrame) -> Figure:
    """Test accuracy against withheld objects, a panel per task, with the paper's values as hollow markers.

    Args:
        frame: rows of `analysis.load_study`. Only completed trials are averaged; variants with fewer than planned are
            faded and listed under the figure, as are those with none.
    Source: paper Figure 3, from the values of Tables 9-20.
    """
    rows = variants(frame)
    tasks = list(rows["task"].unique())
    looks = styles(list(frame["arm"].unique()))
    columns = {3: 3}.get(len(tasks), min(len(tasks), 2))
    width = 7.0 if columns > 1 else 4.2
    handles = [_handle(look) for look in looks.values()] + _conventions(rows)
    figure, panels = _panels(len(tasks), columns, width, 2.1, handles, _accuracy_notes(rows, looks))
    for panel, task in zip(panels, tasks, strict=True):
        _accuracy_panel(panel, rows[rows["task"] == task], looks)
        panel.set_title(TASK_TITLES.get(task, task))
    figure.supxlabel("Withheld objects m", fontsize=matplotlib.rcParams["axes.labelsize"])
    figure.supylabel("Test accuracy (%)", fontsize=matplotlib.rcParams["axes.labelsize"])
    return figure


def _accuracy_panel(panel: Axes, rows: pd.DataFrame, looks: dict[str, Style]) -> None:
    positions = {withheld: x for x, withheld in enumerate(sorted(rows["withheld"].unique()))}
    dodge = 0.62 / max(len(looks) - 1, 1)
    task = rows["task"].iloc[0]
    for i, (arm, look) in enumerate(looks.items()):
        of_arm = rows[rows["arm"] == arm]
        x_M = of_arm["withheld"].map(positions).to_numpy(float) + dodge * (i - (len(looks) - 1) / 2)
        mean_M, sem_M = 100 * of_arm["mean"].to_numpy(), 100 * of_arm["sem"].to_numpy()
        whole_M = (of_arm["n"] == of_arm["planned"]).to_numpy()
        panel.plot(x_M, mean_M, color=look.color, linestyle=look.line, linewidth=0.9, alpha=0.6, zorder=2)
        for whole, alpha in ((True, 1.0), (False, _FADED)):
            part = (whole_M == whole) & np.isfinite(mean_M)
            if part.any():
                error = np.where(np.isnan(sem_M), 0.0, sem_M)[part]
                panel.errorbar(
                    x_M[part], mean_M[part], error, fmt=look.marker, color=look.color, alpha=alpha, markersize=4,
                    markeredgewidth=0, elinewidth=0.9, zorder=4, gid=f"ours:{arm}" if whole else f"incomplete:{arm}",
                )  # fmt: skip
        published_M = 100 * of_arm["published_mean"].to_numpy(float)
        panel.plot(
            x_M, published_M, linestyle="none", marker=look.marker, markersize=7.5, markerfacecolor="none",
            markeredgecolor=look.color, markeredgewidth=0.8, zorder=3, gid=f"paper:{arm}",
        )  # fmt: skip
    panel.set_xticks(list(positions.values()), [str(m) for m in positions])
    panel.set_xlim(-0.5, len(positions) - 0.5)
    for x in range(len(positions) - 1):
        panel.axvline(x + 0.5, color="0.9", linewidth=0.6, zorder=0)
    lowest = np.nanmin([*(rows["mean"] - rows["sem"].fillna(0)), *rows["published_mean"].astype(float), 1.0])
    if task in CHANCE:
        panel.axhline(100 * CHANCE[task], color="0.45", linestyle=(0, (2, 2)), linewidth=0.8, zorder=1, gid="chance")
        lowest = min(lowest, CHANCE[task])
    panel.set_ylim(100 * lowest - 5, 104)
    sns.despine(ax=panel)


def _handle(look: Style) -> Line2D:
    return Line2D([], [], color=look.color, marker=look.marker, linestyle=look.line, markeredgewidth=0, label=look.label)


def _conventions(rows: pd.DataFrame) -> list[Line2D]:
    hollow = {"marker": "o", "markerfacecolor": "none", "markersize": 7, "markeredgewidth": 0.8}
    handles = [Line2D([], [], color="0.45", linestyle=(0, (2, 2)), linewidth=0.8, label="chance")]
    if rows["published_mean"].notna().any():
        handles.append(Line2D([], [], color="0.3", linestyle="none", label="hollow: paper", **hollow))
    if ((rows["n"] < rows["planned"]) & (rows["n"] > 0)).any():
        faded = {"alpha": _FADED, "markeredgewidth": 0}
        handles.append(Line2D([], [], color="0.2", marker="o", linestyle="none", label="faded: incomplete", **faded))
    return handles


def _accuracy_notes(rows: pd.DataFrame, looks: dict[str, Style]) -> list[str]:
    notes = [
        f"{_count_note(rows['n'])} Error bars: ± standard error of the mean over seeds (ddof 1)."
        + (f" Paper: n = {PUBLISHED_N}." if rows["published_mean"].notna().any() else "")
    ]
    for title, part in (
        ("Incomplete", rows[(rows["n"] > 0) & (rows["n"] < rows["planned"])]),
        ("Without a completed trial", rows[rows["n"] == 0]),
    ):
        if len(part):
            notes.append(f"{title}: {'; '.join(_listed(part, looks))}.")
    return notes


def _count_note(counts: Iterable[int]) -> str:
    """How many networks a mean is over, where all that have any have the same number or not."""
    there = sorted({int(n) for n in counts} - {0})
    if not there:
        return "No trial is completed yet."
    span = f"n = {there[0]}" if len(there) == 1 else f"n = {there[0]} to {there[-1]}"
    return f"Mean over {span} trained networks."


def _listed(rows: pd.DataFrame, looks: dict[str, Style]) -> list[str]:
    """The variants in words, those of a task and arm that lack the same together."""
    lacking = rows.assign(lack=[shortfall(row) for row in rows.itertuples()])
    return [
        f"{TASK_TITLES.get(task, task)}, m = {', '.join(map(str, group['withheld']))}, {looks[arm].label} ({lack})"
        for (task, arm, lack), group in lacking.groupby(["task", "arm", "lack"], sort=False)
    ]


def _panels(
    count: int, columns: int, width: float, height: float, handles: Sequence[Line2D], notes: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """A figure with a legend above, ``count`` panels of the given height, and notes below."""
    lines = [line for note in notes for line in textwrap.wrap(note, int(width * _CHARS_PER_INCH))]
    rows = math.ceil(count / columns)
    legend_columns = min(len(handles), max(2, int(width / 1.35)))
    legend_height = 0.17 * math.ceil(len(handles) / max(legend_columns, 1)) + 0.08
    below = _LINE_HEIGHT * len(lines) + 0.06
    total = rows * height + legend_height + below + 0.2
    figure = Figure(figsize=(width, total), layout="constrained")
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.set(rect=(0, below / total, 1, 1 - below / total), w_pad=0.04, h_pad=0.03)  # type: ignore
    grid = figure.subplots(rows, columns, squeeze=False)
    for empty in grid.flat[count:]:
        figure.delaxes(empty)
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=legend_columns)
    figure.text(0.01, below / total - 0.03 / total, "\n".join(lines), size=_NOTE_SIZE, va="top", color="0.25", gid="notes")
    return figure, list(grid.flat[:count])
