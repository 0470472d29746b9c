"""Comparison of a study's arms with a baseline arm: by seed, by condition, and over all conditions.

A condition is a task and a number m of withheld objects. A seed has the same withheld objects, problems and batches in
every arm, so networks are compared in pairs.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.data.published import published
from analysis.errors import AnalysisError, choices
from analysis.findings.interim import at_looks
from analysis.statistics.bootstrap import Estimate, improvement, interquartile_mean
from analysis.statistics.tests import (
    MOST_NETWORKS,
    Flips,
    Paired,
    flip_tests,
    holm,
    more_pairs,
    paired,
    repeated,
    smallest_p,
)
from esbn_core.vocabulary import Cell

ALPHA = 0.05  # largest probability of any wrong "worse" or "better" in a study
COMPLETED = "completed"
NOT_PLANNED = "not planned"

_PAIRED = ["n", "difference_points", "low_points", "high_points", "t", "p"]  # columns with the fields of `Paired`
_NO_ESTIMATE = Estimate(np.nan, np.nan, np.nan)

Condition = tuple[str, int]  # task and m


class Seed(NamedTuple):
    """One planned trial."""

    status: str
    accuracy: float  # fraction; NaN unless completed


Arms = dict[str, dict[int, Seed]]  # of one condition: arm -> seed -> trial


def check_arms(frame: pd.DataFrame, study: str, baseline: str) -> None:
    """Raises `AnalysisError` if a study lacks the baseline arm or has no other arm."""
    arms = set(frame["arm"])
    if baseline not in arms:
        raise AnalysisError(f"baseline={baseline!r} is not an arm of {study}; {choices(baseline, arms)}")
    if len(arms) == 1:
        raise AnalysisError(f"study={study!r} has only the arm {baseline!r}; a comparison needs two")


def conditions(frame: pd.DataFrame) -> dict[Condition, Arms]:
    """Groups rows of `load_study` by condition, arm and seed; tasks and arms in planned order, m by size."""
    cells: dict[Condition, Arms] = {}
    columns = (frame[column] for column in ("task", "withheld", "arm", "seed", "status", "test_accuracy"))
    for task, withheld, arm, seed, status, accuracy in zip(*columns, strict=True):
        trial = Seed(status, float(accuracy) if status == COMPLETED else np.nan)
        cells.setdefault((task, int(withheld)), {}).setdefault(arm, {})[int(seed)] = trial
    tasks, arms = list(dict.fromkeys(frame["task"])), list(dict.fromkeys(frame["arm"]))
    order = sorted(cells, key=lambda condition: (tasks.index(condition[0]), condition[1]))
    return {at: {arm: cells[at][arm] for arm in arms if arm in cells[at]} for at in order}


def pairs(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Returns the paired differences of each arm from the baseline at each condition.

    Args:
        frame: rows of `load_study`.
        baseline: arm to compare the others with.
    Returns:
        A row per condition and arm: ``task``, ``withheld``, ``arm``; ``n`` (seeds completed in both) of ``planned``
        (seeds planned in either); ``difference_points`` (arm minus baseline, mean over pairs) with ``low_points``,
        ``high_points`` (95 % t interval) and ``t`` from `tests.paired`; ``p`` of the exact sign-flip test and
        ``p_corrected`` over the conditions of the arm (`tests.flip_tests`) and, by Bonferroni, over the arms; both
        corrected by `tests.repeated` if there are several ``looks``; ``pairs_needed``, the smallest number of pairs
        that can give a ``p_corrected`` up to `ALPHA`; ``unpaired``, in words the seeds completed in only one of the
        two; ``more_seeds``, the smallest number after which the tests would reject, null if none (`tests.more_pairs`).
    """
    looks = at_looks(frame)
    tested = [_pairs(conditions(seen), baseline, len(looks)) for seen in looks]
    rows = tested[0] if len(looks) == 1 else _pairs(conditions(frame), baseline, len(looks))
    p, corrected = (
        repeated(np.stack([look[column].to_numpy(float) for look in tested]), len(looks))
        for column in ("p", "p_corrected")
    )
    flip_level = _flip_level(len(set(rows["arm"])), len(looks))
    levels = (ALPHA / max(len(rows), 1) / len(looks), flip_level)
    more = [more_pairs(Paired(*values), *levels) for values in rows[_PAIRED].itertuples(index=False)]
    needed = 2 + int((smallest_p(np.arange(2, MOST_NETWORKS)) <= flip_level).argmax())
    return rows.assign(
        p=p, p_corrected=corrected, looks=len(looks), pairs_needed=needed, more_seeds=pd.array(more, dtype="Int64")
    )


def _flip_level(n_arms: int, looks: int) -> float:
    """Returns the p that a single sign-flip test must reach, before any correction over conditions."""
    return ALPHA / max(n_arms, 1) / looks


def _pairs(cells: dict[Condition, Arms], baseline: str, looks: int) -> pd.DataFrame:
    """`pairs` at one look, before the correction over looks."""
    rows, differences = [], {}
    for (task, withheld), arms in cells.items():
        base = arms.get(baseline, {})
        for arm, seeds in arms.items():
            if arm == baseline:
                continue
            ours, theirs = _completed(seeds), _completed(base)
            points = {seed: 100 * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs}
            differences.setdefault(arm, {})[len(rows)] = points
            test = paired(list(points.values()))
            rows.append((task, withheld, arm, len(seeds.keys() | base), *test, unpaired(seeds, base)))
    frame = pd.DataFrame(rows, columns=[*Cell._fields, "planned", *_PAIRED, "unpaired"])
    p, corrected = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for of_arm in differences.values():
        at = list(of_arm)
        tests = _flip_tests(list(of_arm.values()), _flip_level(len(differences), looks))
        p[at], corrected[at] = tests.p, np.minimum(len(differences) * tests.corrected, 1)
    return frame.assign(p=p, p_corrected=corrected)


def _flip_tests(differences: list[dict[int, float]], level: float) -> Flips:
    """`tests.flip_tests` of one arm, from its differences by seed at each condition."""
    seeds = sorted(set().union(*differences))
    points_SC = [[of_condition.get(seed, np.nan) for of_condition in differences] for seed in seeds]
    return flip_tests(np.reshape(points_SC, (len(seeds), len(differences))), hopeless=level)


def _completed(seeds: dict[int, Seed]) -> dict[int, float]:
    return {seed: trial.accuracy for seed, trial in seeds.items() if trial.status == COMPLETED}


def unpaired(seeds: dict[int, Seed], base: dict[int, Seed]) -> str:
    """Names the seeds completed in only one arm: ``"2 (failed in the arm), 3-9 (missing in the arm)"``, or nothing."""
    lacks: dict[str, list[int]] = {}
    for here, other, name in ((base, seeds, "arm"), (seeds, base, "baseline")):
        for seed in _completed(here):
            status = other[seed].status if seed in other else NOT_PLANNED
            if status != COMPLETED:
                lacks.setdefault(f"{status} in the {name}", []).append(seed)
    return ", ".join(f"{spans(numbers)} ({lack})" for lack, numbers in lacks.items())


def spans(numbers: Iterable[int]) -> str:
    """Prints whole numbers, with runs of three or more shortened: ``"0, 1, 4-9"``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def over_conditions(differences: pd.DataFrame) -> pd.DataFrame:
    """Compares arms as the paper does, by a paired t test over condition means.

    Args:
        differences: rows of `pairs` or of `published_differences`.
    Returns:
        A row per arm: ``arm``; ``n`` (conditions with a difference) of ``planned``; ``difference_points`` (mean over
        conditions) to ``t`` as in `pairs`, with conditions as pairs; ``p`` of the t test, and ``p_corrected`` by Holm
        over the arms.
    Source: the tests of encoders in the paper, over the 17 conditions of Tables 15-18.
    """
    rows = []
    for arm in dict.fromkeys(differences["arm"]):
        of_arm = differences.loc[differences["arm"] == arm, "difference_points"]
        rows.append((arm, len(of_arm), *paired(of_arm.dropna().to_numpy(float))))
    frame = pd.DataFrame(rows, columns=["arm", "planned", *_PAIRED])
    return frame.assign(p_corrected=holm(frame["p"].to_numpy(float)))


def published_differences(baseline: str) -> pd.DataFrame:
    """Returns arm minus baseline in the paper's means, in points: a row per condition with both values."""
    paper = published()
    rows = [
        (task, withheld, arm, 100 * (value.mean - paper[task, withheld, baseline].mean))
        for (task, withheld, arm), value in paper.items()
        if arm != baseline and (task, withheld, baseline) in paper
    ]
    return pd.DataFrame(rows, columns=[*Cell._fields, "difference_points"])


def arms(cells: dict[Condition, Arms], differences: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Summarises each arm: conditions at which it is worse or better, and accuracy over all conditions.

    Args:
        cells: from `conditions`.
        differences: rows of `pairs` for them.
        baseline: arm to compare the others with.
    Returns:
        A row per arm: ``conditions`` (planned), ``compared`` (with at least two pairs), ``pairs`` (largest number at
        one condition), ``worse`` and ``better`` (``p_corrected`` up to `ALPHA`), ``largest_points``, ``largest_task``,
        ``largest_withheld`` (the largest of these, null if none), ``complete`` (conditions with every planned seed
        completed in both arms), and over these, each with ``_low`` and ``_high``: ``iqm`` and ``baseline_iqm``
        (fractions), ``p_improvement``.
    """
    rows = []
    for arm in dict.fromkeys(differences["arm"]):
        here = differences.loc[differences["arm"] == arm]
        told = here.loc[here["p_corrected"] <= ALPHA]
        worse, better = (int((sign * told["difference_points"] > 0).sum()) for sign in (-1, 1))
        row = {"arm": arm, "conditions": len(here), "compared": int((here["n"] > 1).sum()), "pairs": here["n"].max()}
        rows.append({**row, "worse": worse, "better": better, **_largest(told), **_across(cells, arm, baseline)})
    return pd.DataFrame(rows)


def _largest(told: pd.DataFrame) -> dict[str, Any]:
    columns = {"largest_points": "difference_points", "largest_task": "task", "largest_withheld": "withheld"}
    if told.empty:
        return dict.fromkeys(columns)
    row = told.loc[told["difference_points"].abs().idxmax()]
    return {name: row[column] for name, column in columns.items()}


def _across(cells: dict[Condition, Arms], arm: str, baseline: str) -> dict[str, float]:
    whole = [of for of in cells.values() if complete(of, arm) and complete(of, baseline)]
    row: dict[str, float] = {"complete": len(whole)}
    ours, base = (
        [np.array([trial.accuracy for trial in of[name].values()]) for of in whole] for name in (arm, baseline)
    )
    estimates = [_NO_ESTIMATE] * 3
    if whole:
        estimates = [interquartile_mean(ours), interquartile_mean(base), improvement(ours, base)]
    for name, estimate in zip(("iqm", "baseline_iqm", "p_improvement"), estimates, strict=True):
        row |= zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True)
    return row


def complete(arms: Arms, arm: str) -> bool:
    """Returns whether an arm has planned seeds at this condition and all have completed."""
    return arm in arms and all(trial.status == COMPLETED for trial in arms[arm].values())


def left_out(cells: dict[Condition, Arms], arm: str, baseline: str) -> list[Condition]:
    """Returns the planned conditions of an arm that are incomplete in the arm or in the baseline."""
    return [at for at, of in cells.items() if arm in of and not (complete(of, arm) and complete(of, baseline))]
