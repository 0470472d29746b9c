"""Figures 4, 5, 7 and 8: training accuracy against training updates.

Artists that show data have a ``gid`` that names the data.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.data.curves import BINS, mean_courses
from analysis.errors import AnalysisError
from analysis.figures import sheet
from analysis.figures.description import TRAINING_ACCURACY, UPDATES, ConvergencePanel, CurvePanel, curve_panels
from analysis.figures.gaps import count_networks, list_gaps
from analysis.figures.palette import Style, styles
from analysis.figures.plotting import Artist, Axes, Figure, Line2D, seaborn
from analysis.findings.accuracy import VariantAccuracy, variant_accuracies

_APART = 0.35  # distance between markers of a curve, as a share of the panel's diagonal
_DECADES = {0: "0", 10: "10", 100: "100", 1_000: "1k", 10_000: "10k", 100_000: "100k"}


@sheet.with_settings
def draw_curves(
    frame: pd.DataFrame, curves: pa.Table | pd.DataFrame, arms: Sequence[str] | None = None, notes: Sequence[str] = ()
) -> Figure:
    """Draws training accuracy against updates, a panel per task and m, mean and standard error over seeds.

    The axis is linear up to 10 updates and logarithmic above. There, measurements of a network within 1/25 of a decade
    are averaged first. A panel without a curve is hatched.

    Args:
        frame: rows of `analysis.load_study` or `load_cells`; only completed trials are averaged. An incomplete variant
            is thin, with pale markers, and listed under the figure.
        curves: rows of the curves table of its trials: accuracy of the training batch before its update.
        arms, notes: as for `draw_accuracy`.
    Raises:
        AnalysisError: no completed trial has a curve.
    Source: paper Figures 4, 5, 7 and 8.
    """
    drawn = with_curves(frame, curves)
    without = (drawn["status"] != frame["status"]).tolist().count(True)
    rows, courses = variant_accuracies(drawn), mean_courses(drawn, curves)
    if not courses:
        raise AnalysisError("no completed trial has training curves; run the study first")
    style_of_arm = styles(arms or frame["arm"].unique().tolist())
    panels = curve_panels([(row.task, row.withheld) for row in rows], rows, courses, style_of_arm)
    below = [_note(rows, without), *notes, *list_gaps(drawn, rows, style_of_arm)]
    figure, every_axes = panels_by_task(panels, style_of_arm, _conventions(panels), below, TRAINING_ACCURACY)
    for axes, panel in zip(every_axes, panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def panels_by_task(
    panels: Sequence[CurvePanel] | Sequence[ConvergencePanel],
    style_of_arm: Mapping[str, Style],
    conventions: Sequence[Artist],
    notes: Sequence[str],
    y_label: str,
) -> tuple[Figure, list[Axes]]:
    """Makes a figure of panels against updates, a row per task, with a legend of all arms shown.

    Args:
        conventions: legend entries after the arms.
        notes: lines below.
    """
    places = places_by_task([panel.title for panel in panels])
    width = {1: 3.4, 2: 5.0}.get(1 + max(column for _, column in places), 7.0)
    shown = {arm.cell.arm for panel in panels for arm in panel.arms}
    handles = [sheet.arm_handle(style) for arm, style in style_of_arm.items() if arm in shown]
    figure, every_axes = sheet.make_sheet(places, width, 1.9, [*handles, *conventions], notes)
    letters = 21 if width == 7.0 and places[3:] else 30
    for axes, panel in zip(every_axes, panels, strict=True):
        title = textwrap.wrap(panel.title, letters, break_on_hyphens=False)
        axes.set_title("\n".join([*title, f"m = {panel.withheld}"]))
    sheet.label_outer(every_axes, places, UPDATES, y_label)
    return figure, every_axes


def with_curves(frame: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Returns the frame with completed trials without a curve marked as missing."""
    there = curves["trial_id"].unique()
    without = (frame["status"] == "completed") & ~frame["trial_id"].isin(there.tolist())
    return frame.assign(status=frame["status"].mask(without, "missing"))


def places_by_task(tasks: Sequence[str]) -> list[tuple[int, int]]:
    """Returns row and column of each panel: a row per task, or rows of four if each task has only one m."""
    rows = list(dict.fromkeys(tasks))
    if len(rows) == len(tasks):
        return [divmod(i, 4) for i in range(len(tasks))]
    return [(rows.index(task), i - tasks.index(task)) for i, task in enumerate(tasks)]


def _note(rows: Sequence[VariantAccuracy], without: int) -> str:
    lacking = f" {without} completed networks have no stored curve, and count as missing here." if without else ""
    return (
        f"{count_networks(rows)}. Bands: ± standard error of the mean over seeds (ddof 1). Measurements of a"
        f" network within 1/{BINS} of a decade of updates are averaged first.{lacking}"
    )


def _conventions(panels: Sequence[CurvePanel]) -> list[Artist]:
    handles: list[Artist] = []
    if any(curve.incomplete for panel in panels for curve in panel.arms):
        handles.append(Line2D([], [], **_line(sheet.GREY, True), label="pale: incomplete"))
    return handles + sheet.untrained_handles(not all(panel.arms for panel in panels))


def _line(style: Style, incomplete: bool) -> dict[str, Any]:
    thin = {"linewidth": sheet.scaled(0.7)} if incomplete else {}
    return {**sheet.marker(style, 3.5, whole=not incomplete), "linestyle": style.line, **thin}


def _draw_panel(axes: Axes, panel: CurvePanel) -> None:
    for i, curve in enumerate(panel.arms):
        _, update_U, mean_U, sem_U = curve.course
        apart: Any = (_APART * i / len(panel.arms), _APART)  # position of the first marker, and distance to the next
        gid = "incomplete" if curve.incomplete else "mean"
        axes.plot(update_U, mean_U, **_line(curve.style, curve.incomplete), markevery=apart, gid=gid)
        axes.fill_between(update_U, mean_U - sem_U, mean_U + sem_U, color=curve.style.color, alpha=0.2, linewidth=0)
    if not panel.arms:
        axes.axhspan(0, 103, **sheet.UNTRAINED)
    updates_axis(axes, max([20.0, *(curve.course.updates[-1] for curve in panel.arms)]))
    axes.set_ylim(top=103)
    seaborn.despine(ax=axes)


def updates_axis(axes: Axes, last: float) -> None:
    """Sets the x axis to updates up to the last, linear up to 10 and logarithmic above."""
    axes.set_xscale("symlog", linthresh=10, linscale=0.5)
    ticks = {update: text for update, text in _DECADES.items() if update <= last}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(0, last)
