"""Figure of updates to criterion: share of networks that have reached it, against updates.

Artists that show data have a ``gid`` that names the data.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures import sheet
from analysis.figures.curves import panels_by_task, updates_axis
from analysis.figures.description import AT_CRITERION, ConvergencePanel, convergence_panels
from analysis.figures.gaps import count_networks, list_gaps
from analysis.figures.palette import styles
from analysis.figures.plotting import Artist, Axes, Figure, Line2D, Patch, seaborn
from analysis.findings.accuracy import VariantAccuracy, variant_accuracies
from analysis.findings.convergence import CRITERION, PAPER, WINDOW

_BAND: dict[str, Any] = {"facecolor": "0.9", "linewidth": 0, "gid": "paper"}
_CENSORED: dict[str, Any] = {"marker": "|", "linestyle": "none", "gid": "censored"}


@sheet.with_settings
def draw_convergence(frame: pd.DataFrame, networks: pd.DataFrame) -> Figure:
    """Draws the share of networks at criterion against updates (Kaplan-Meier), a panel per task and m.

    Args:
        frame: rows of `analysis.load_study`; an arm with fewer networks than planned is thin and pale, and listed.
        networks: its rows of `updates_to_criterion`, with the default criterion and window.
    Source: the claim in paper section 5.1 on Figures 4 and 5; the paper has no such figure.
    """
    judged = frame["trial_id"].isin(networks.loc[networks["updates"].notna(), "trial_id"])
    without = (frame["status"] == "completed") & ~judged
    drawn = frame.assign(status=frame["status"].mask(without, "missing"))
    rows, style_of_arm = variant_accuracies(drawn), styles(frame["arm"].unique().tolist())
    panels = convergence_panels(networks, style_of_arm)
    below = [_note(rows, without.tolist().count(True)), *list_gaps(drawn, rows, style_of_arm)]
    figure, every_axes = panels_by_task(panels, style_of_arm, _conventions(panels), below, AT_CRITERION)
    for axes, panel in zip(every_axes, panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def _note(rows: Sequence[VariantAccuracy], without: int) -> str:
    lacking = f" {without} completed networks have no curve or a short one, and count as missing." if without else ""
    return (
        f"{count_networks(rows).replace('mean', 'line')}. Criterion: training accuracy averages {CRITERION:g} % over"
        f" {WINDOW} consecutive measurements of one batch each. Lines: Kaplan-Meier, without interval. Bars at line"
        f" ends: networks that end without reaching it. Shaded: {PAPER[0]} to {PAPER[1]} updates, the paper's claim"
        f" for the ESBN (section 5.1, Figures 4 and 5).{lacking}"
    )


def _conventions(panels: list[ConvergencePanel]) -> list[Artist]:
    handles: list[Artist] = [Patch(**_BAND, label=f"paper: {PAPER[0]}-{PAPER[1]} updates")]
    every = [steps for panel in panels for steps in panel.arms]
    if any(steps.censored for steps in every):
        handles.append(Line2D([], [], color="0.2", **_CENSORED, label="not reached"))
    if any(steps.incomplete for steps in every):
        handles.append(Line2D([], [], **sheet.marker(sheet.GREY, 3.5, whole=False), label="pale: incomplete"))
    return handles + sheet.untrained_handles(not all(panel.arms for panel in panels))


def _draw_panel(axes: Axes, panel: ConvergencePanel) -> None:
    last = max([1.25 * PAPER[1], *(steps.steps.times_T[-1] for steps in panel.arms)])
    axes.axvspan(*PAPER, **_BAND, zorder=0)
    for arm in panel.arms:
        thin = {"linewidth": sheet.scaled(0.7)} if arm.incomplete else {}
        line: dict[str, Any] = {
            **sheet.marker(arm.style, 3.5, whole=not arm.incomplete),
            "linestyle": arm.style.line,
            **thin,
        }
        gid = "incomplete" if arm.incomplete else "share"
        rises = (np.flatnonzero(np.diff(arm.steps.share_T)) + 1).tolist()
        times_T, share_T = arm.steps
        axes.plot(times_T, share_T, **line, drawstyle="steps-post", markevery=rises, gid=gid, clip_on=False)
        if arm.censored:
            size: dict[str, Any] = {"markersize": sheet.scaled(7), "markeredgewidth": sheet.scaled(1.1)}
            axes.plot([arm.end], share_T[-1:], color=arm.style.color, **_CENSORED, **size, clip_on=False)
    if not panel.arms:
        axes.axhspan(0, 103, **sheet.UNTRAINED)
    updates_axis(axes, last)
    axes.set_ylim(0, 103)
    seaborn.despine(ax=axes)
