"""Figures 3 and 6: test accuracy against withheld objects, as markers or as bars.

Artists that show data have a ``gid`` that names the data.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.published import PUBLISHED_N
from analysis.figures import sheet
from analysis.figures.description import TEST_ACCURACY, WITHHELD, AccuracyPanel, ArmAccuracy, accuracy_panels
from analysis.figures.gaps import count_networks, list_gaps
from analysis.figures.palette import Style, styles
from analysis.figures.plotting import Artist, Axes, Figure, Line2D, Patch, seaborn, to_hex, withStroke
from analysis.findings.accuracy import VariantAccuracy, as_printed, variant_accuracies

_SPREAD = 0.76  # width of the arms side by side, as a share of the distance between two m
_SHADES = (0.0, 0.45, 0.75)  # shares of white in the bars of one colour
_UNCLIPPED: dict[str, Any] = {"clip_on": False, "in_layout": False}  # markers at 100 % cross the edge


@sheet.with_settings
def draw_accuracy(
    frame: pd.DataFrame, arms: Sequence[str] | None = None, notes: Sequence[str] = (), bars: bool = False
) -> Figure:
    """Draws test accuracy against withheld objects, a panel per task, with the paper's values as hollow markers.

    Args:
        frame: rows of `analysis.load_study` or `load_cells`. Only completed trials are averaged. Variants with fewer
            than planned are pale (bars: hatched) and listed under the figure, like variants without any. An m without
            trained networks is hatched.
        arms: their order; None: as in the frame.
        notes: further lines under the figure.
        bars: draws bars instead of markers joined by lines.
    Source: paper Figures 3 and (bars) 6, from the values of Tables 9-20.
    """
    rows, style_of_arm = as_printed(variant_accuracies(frame)), styles(arms or frame["arm"].unique().tolist())
    if bars:
        style_of_arm = _shaded(style_of_arm)
    panels = accuracy_panels(rows, style_of_arm, _SPREAD)
    columns = 3 if len(panels) == 3 else min(len(panels), 2)
    places = [divmod(i, columns) for i in range(len(panels))]
    handles = [
        Patch(**_bar(style, whole=True), label=style.label) if bars else sheet.arm_handle(style)
        for style in style_of_arm.values()
    ]
    below = [_note(rows), *notes, *list_gaps(frame, rows, style_of_arm)]
    width = 7.0 if columns > 1 else 4.2
    figure, every_axes = sheet.make_sheet(places, width, 2.1, [*handles, *_conventions(rows, panels, bars)], below)
    for axes, panel in zip(every_axes, panels, strict=True):
        _draw_panel(axes, panel, bars)
    sheet.label_outer(every_axes, places, WITHHELD, TEST_ACCURACY)
    return figure


def _shaded(style_of_arm: Mapping[str, Style]) -> dict[str, Style]:
    """Returns the styles with increasingly light shades for arms of the same colour."""
    before = Counter[str]()
    shaded = {}
    for arm, style in style_of_arm.items():
        shaded[arm] = style._replace(color=to_hex(sheet.lighter(style.color, _SHADES[min(before[style.color], 2)])))
        before[style.color] += 1
    return shaded


def _note(rows: Sequence[VariantAccuracy]) -> str:
    paper = f" Paper: n = {PUBLISHED_N}." if any(row.source for row in rows) else ""
    return f"{count_networks(rows)}. Error bars: ± standard error of the mean over seeds (ddof 1).{paper}"


def _conventions(rows: Sequence[VariantAccuracy], panels: Sequence[AccuracyPanel], bars: bool) -> list[Artist]:
    """Returns legend entries for the conventions that this figure uses."""
    handles: list[Artist] = [Line2D([], [], **_chance_line(), label="chance")]
    if any(row.source for row in rows):
        handles.append(Line2D([], [], color="0.3", marker="o", label="hollow: paper", **_ring()))
    if any(0 < row.n < row.planned for row in rows):
        pale = Line2D([], [], **_dot(sheet.GREY, whole=False), label="pale: incomplete")
        hatched = Patch(**_bar(sheet.GREY._replace(color="0.5"), whole=False), label="hatched: incomplete")
        handles.append(hatched if bars else pale)
    return handles + sheet.untrained_handles(any(panel.untrained for panel in panels))


def _draw_panel(axes: Axes, panel: AccuracyPanel, bars: bool) -> None:
    rows = [row for arm in panel.arms for row in arm.rows]
    low = [row.mean - np.nan_to_num(row.sem) for row in rows] + [row.published_mean for row in rows]
    chance = 100.0 if panel.chance is None else panel.chance
    axes.set_ylim(float(np.nanmin([*(100 * np.array(low)), chance])) - 5, 104)
    for arm in panel.arms:
        _draw_arm(axes, arm, bars)
    places = range(len(panel.withheld))
    axes.set_xticks(places, [str(m) for m in panel.withheld])
    axes.set_xlim(-0.5, len(places) - 0.5)
    for x in places[:-1]:
        axes.axvline(x + 0.5, color="0.9", linewidth=sheet.scaled(0.6), zorder=0)
    for x in panel.untrained:
        axes.axvspan(x - 0.5, x + 0.5, **sheet.UNTRAINED)
    if panel.chance is not None:
        axes.axhline(panel.chance, **_chance_line(), zorder=1, gid="chance")
    seaborn.despine(ax=axes)
    axes.set_title(panel.title)


def _draw_arm(axes: Axes, arm: ArmAccuracy, bars: bool) -> None:
    """Draws means (pale or hatched if incomplete), error bars (none if n = 1), and the paper's values as rings."""
    style, mean_M, ink = arm.style, arm.mean_M, "0.1" if bars else arm.style.color
    if bars:
        axes.set_ylim(bottom=0)
    else:
        axes.plot(arm.x_M, mean_M, color=ink, linestyle=style.line, linewidth=sheet.scaled(0.8), alpha=0.5, zorder=2)
    axes.errorbar(arm.x_M, mean_M, arm.sem_M, fmt="none", ecolor=ink, elinewidth=sheet.scaled(0.9), zorder=4)
    for gid, part_M in (("ours", arm.whole_M), ("incomplete", ~arm.whole_M & ~np.isnan(mean_M))):
        x_P, mean_P, whole = arm.x_M[part_M], mean_M[part_M], gid == "ours"
        if bars:
            axes.bar(x_P, mean_P, 0.8 * _SPREAD / 5, **_bar(style, whole), zorder=2, gid=gid)
        else:
            axes.plot(x_P, mean_P, zorder=4, gid=gid, **_UNCLIPPED, **_dot(style, whole))
    paper: dict[str, Any] = {"color": ink, "marker": style.marker, "zorder": 3, "gid": "paper", **_UNCLIPPED, **_ring()}
    (rings,) = axes.plot(arm.x_M, arm.paper_M, **paper)
    if bars:
        rings.set_path_effects([withStroke(linewidth=sheet.scaled(1.8), foreground="white")])


def _dot(style: Style, whole: bool) -> dict[str, Any]:
    return {**sheet.marker(style, 4, whole), "linestyle": "none"}


def _bar(style: Style, whole: bool) -> dict[str, Any]:
    """Returns a bar for all planned networks, or a hatched one for fewer."""
    edge = {"edgecolor": "0.1"} if whole else {"edgecolor": "white", "hatch": "//////"}
    return {"facecolor": style.color, "linewidth": sheet.scaled(0.4), **edge}


def _ring() -> dict[str, Any]:
    hollow: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none"}
    return {**hollow, "markersize": sheet.scaled(7), "markeredgewidth": sheet.scaled(0.7)}


def _chance_line() -> dict[str, Any]:
    return {"color": "0.45", "linestyle": (0, (2, 2)), "linewidth": sheet.scaled(0.8)}
