"""Descriptions of figures: data, positions and labels, shared by static figures and the report page.

`analysis.figures` translates them to matplotlib and `analysis.page.figures` to JSON for plotly.js; parts that only one
of the two shows are not here. Accuracies are percent. Dimensions: M numbers of withheld objects, P problems, T steps of
a problem, R reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.data.curves import Course
from analysis.figures.palette import Style
from analysis.findings import key_geometry
from analysis.findings.accuracy import VariantAccuracy
from analysis.findings.convergence import known
from analysis.statistics.waiting import Steps, reached
from esbn_core.vocabulary import CHANCE, TASK_TITLES, Cell

WITHHELD, UPDATES = "Withheld objects m", "Training updates"
TEST_ACCURACY, TRAINING_ACCURACY = "Test accuracy (%)", "Training accuracy (%)"
AT_CRITERION = "Networks at criterion (%)"

STEPS_SHOW = {
    "same_different": "Steps 1 and 2 show the two objects.",
    "rmts": "Steps 1 and 2 show the source pair, 3 and 4 the first pair to choose, 5 and 6 the second.",
    "distribution_of_three": "Steps 1 to 3 show the first row, 4 and 5 the second, 6 to 9 the choices.",
    "identity_rules": "Steps 1 to 3 show the first row, 4 and 5 the second, 6 to 9 the choices.",
}
"""What each task's problems show at each step."""

Places = dict[str, dict[int, float]]  # arm -> m -> position on the axis of m


class ArmAccuracy(NamedTuple):
    """The accuracies of one arm in a panel, by m."""

    rows: list[VariantAccuracy]  # [M]
    style: Style
    x_M: np.ndarray  # position on the axis of m
    mean_M: np.ndarray  # NaN if no network is trained
    sem_M: np.ndarray  # standard error of the mean; 0 if n < 2
    paper_M: np.ndarray  # NaN if the paper has no value
    whole_M: np.ndarray  # bool, whether all planned networks are trained


class AccuracyPanel(NamedTuple):
    """Test accuracy against m at one task; the m are evenly spaced on the axis, one unit each."""

    title: str
    withheld: list[int]  # from 0 on the axis
    untrained: list[int]  # positions on the axis without trained networks
    chance: float | None
    arms: list[ArmAccuracy]


class ArmCurve(NamedTuple):
    """The training curve of one arm in a panel."""

    cell: Cell
    style: Style
    course: Course
    incomplete: bool  # fewer networks than planned


class CurvePanel(NamedTuple):
    """Training accuracy against updates at one task and m."""

    title: str
    withheld: int
    chance: float | None
    arms: list[ArmCurve]  # none if no network has a curve


class ArmSteps(NamedTuple):
    """The share of one arm's networks in a panel that have reached the criterion."""

    cell: Cell
    style: Style
    n: int  # networks
    incomplete: bool  # fewer than planned
    steps: Steps  # share in percent, from update 0
    censored: int  # networks that do not reach it
    end: float  # last update at which one of these is censored; NaN if there are none


class ConvergencePanel(NamedTuple):
    """Networks at criterion against updates at one task and m."""

    title: str
    withheld: int
    arms: list[ArmSteps]  # none if no network has a curve


class KeyPoints(NamedTuple):
    """Keys written at one step, or reads of these keys, in two components."""

    name: str  # k1 .. kT, r1 .. rT
    step: int  # from 1
    points: np.ndarray  # [P, 2] of written keys, [R, 2] of reads
    train: np.ndarray  # [P] or [R] bool, whether of a training problem


class KeySpace(NamedTuple):
    """Keys of one network in the first two principal components of all its written keys."""

    written: list[KeyPoints]  # one per step
    read: list[KeyPoints]  # one per role; may be empty
    variance: np.ndarray  # [2] share of the variance of all written keys in each component, a fraction

    def label(self, component: int, of_what: str = "") -> str:
        """Returns the axis label of component 1 or 2."""
        return f"Component {component} ({100 * self.variance[component - 1]:.1f} %{of_what})"


def task_title(task: str) -> str:
    """Returns the title of a task."""
    return TASK_TITLES.get(task, task)


def chance(task: str) -> float | None:
    """Returns the chance accuracy of a task; None for a user's task."""
    return 100 * CHANCE[task] if task in CHANCE else None


def agreement(same: int, n_steps: int) -> str:
    """Returns a sentence on the steps that write the same key in training and test by construction.

    Args:
        same: number of first steps that do, from `analysis.findings.key_trials.n_same`.
        n_steps: T of the task.
    """
    if not same:
        return "No keys agree by construction, since the leak shows the images directly to the controller or the keys."
    if same >= n_steps:
        return (
            "By construction, the keys of all steps agree for training and test, since the controller has no"
            " information on the images when it writes them. So they are no evidence of abstraction."
        )
    steps = "1 and 2" if same == 2 else f"1 to {same}"
    return (
        f"The keys of steps {steps} agree for training and test by construction, since the controller has no"
        " information on the images yet."
    )


def side_by_side(
    variants: Iterable[tuple[int, str]], style_of_arm: Mapping[str, Style], spread: float
) -> tuple[list[int], Places]:
    """Places the arms side by side at each m, so that equal values stay visible.

    Args:
        variants: m and arm of all variants drawn.
        style_of_arm: styles in the order of the arms.
        spread: distance between the outermost arms.
    Returns:
        The m in order, and the position of each arm at each m.
    """
    variants = set(variants)
    withheld = sorted({m for m, _ in variants})
    arms = [arm for arm in style_of_arm if any(arm == other for _, other in variants)]
    shifts = {arm: spread * (i - (len(arms) - 1) / 2) / max(len(arms) - 1, 1) for i, arm in enumerate(arms)}
    return withheld, {arm: {m: x + shifts[arm] for x, m in enumerate(withheld)} for arm in arms}


def accuracy_panels(
    rows: Sequence[VariantAccuracy], style_of_arm: Mapping[str, Style], spread: float
) -> list[AccuracyPanel]:
    """Describes test accuracy against withheld objects, a panel per task.

    Args:
        rows: from `analysis.findings.accuracy.variant_accuracies`.
        style_of_arm, spread: as for `side_by_side`.
    """
    panels = []
    for task in dict.fromkeys(row.task for row in rows):
        here = [row for row in rows if row.task == task]
        withheld, places = side_by_side([(row.withheld, row.arm) for row in here], style_of_arm, spread)
        trained = {row.withheld for row in here if row.n}
        untrained = [x for x, m in enumerate(withheld) if m not in trained]
        arms = [
            _arm_accuracy([row for row in here if row.arm == arm], style_of_arm[arm], places[arm]) for arm in places
        ]
        panels.append(AccuracyPanel(task_title(task), withheld, untrained, chance(task), arms))
    return panels


def _arm_accuracy(rows: list[VariantAccuracy], style: Style, x_of_m: Mapping[int, float]) -> ArmAccuracy:
    x_M = np.array([x_of_m[row.withheld] for row in rows])
    means_M3 = 100 * np.array([(row.mean, np.nan_to_num(row.sem), row.published_mean) for row in rows])
    mean_M, sem_M, paper_M = means_M3.T
    return ArmAccuracy(rows, style, x_M, mean_M, sem_M, paper_M, np.array([row.n == row.planned for row in rows]))


def curve_panels(
    conditions: Iterable[tuple[str, int]],
    rows: Sequence[VariantAccuracy],
    courses: Mapping[tuple[str, int, str], Course],
    style_of_arm: Mapping[str, Style],
) -> list[CurvePanel]:
    """Describes training accuracy against updates, a panel per task and m.

    Args:
        conditions: task and m of each panel.
        rows: from `analysis.findings.accuracy.variant_accuracies`.
        courses: from `analysis.data.curves.mean_courses`.
        style_of_arm: styles in drawing order.
    """
    planned = {row[:3]: row.planned for row in rows}
    panels = []
    for task, m in dict.fromkeys(conditions):
        arms = [
            ArmCurve(cell, style, courses[cell], courses[cell].n < planned[cell])
            for arm, style in style_of_arm.items()
            if (cell := Cell(task, m, arm)) in courses
        ]
        panels.append(CurvePanel(task_title(task), m, chance(task), arms))
    return panels


def convergence_panels(networks: pd.DataFrame, style_of_arm: Mapping[str, Style]) -> list[ConvergencePanel]:
    """Describes the share of networks at criterion against updates, a panel per task and m.

    Args:
        networks: rows of `analysis.findings.convergence.updates_to_criterion`.
        style_of_arm: styles in drawing order.
    """
    panels = []
    conditions: Any = networks.groupby(["task", "withheld"], sort=False)
    for (task, m), here in conditions:
        arms = [
            _arm_steps(Cell(task, int(m), arm), rows, style)
            for arm, style in style_of_arm.items()
            if (rows := here.loc[here["arm"] == arm])["updates"].notna().any()
        ]
        panels.append(ConvergencePanel(task_title(task), int(m), arms))
    return panels


def _arm_steps(cell: Cell, rows: pd.DataFrame, style: Style) -> ArmSteps:
    updates_N, censored_N = known(rows)
    times_T, share_T = reached(updates_N, censored_N)
    steps = Steps(np.insert(times_T, 0, 0), 100 * np.insert(share_T, 0, 0))
    end = float(np.max(updates_N[censored_N], initial=-np.inf)) if censored_N.any() else np.nan
    return ArmSteps(cell, style, len(updates_N), len(updates_N) < len(rows), steps, int(censored_N.sum()), end)


def key_space(trace: key_geometry.Trace, reads: key_geometry.Reads) -> KeySpace:
    """Describes the key space of one network: the keys written at each step, and the reads of objects shown again.

    Source: paper Figure 9.
    """
    axes = key_geometry.principal_axes(trace.keys)
    written_PT2, read_R2 = axes.project(trace.keys), axes.project(reads.read)
    return KeySpace(
        [KeyPoints(f"k{t + 1}", t + 1, written_PT2[:, t], trace.train) for t in range(written_PT2.shape[1])],
        [
            KeyPoints(f"r{role}", role, read_R2[reads.role == role], reads.train[reads.role == role])
            for role in np.unique(reads.role).tolist()
        ],
        axes.variance,
    )
