"""Holdout audit of a study: were test problems held back and all arms trained alike, by the stored rows?

Each trial stores the objects that its problems show, and a hash of the problems, both read from the problems
themselves. Only completed trials are audited, since only they enter a number. Missing evidence fails a check.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.compute as pc

from analysis.data.results import has_rows, read
from analysis.data.trials import VARIANT
from analysis.errors import AnalysisError
from analysis.findings.comparison import spans
from esbn_core.vocabulary import CURVE_START, CURVE_STEP, Cell, count_curve_points
from study.store.location import Place

_DRAWN_BY = ("n_objects", "images", "n_train", "n_test", "sampling")  # settings that, with the seed, make the problems
_STORED = ("withheld_objects", "train_objects", "test_objects", "repeated_problems", "tested_after", "started_at")
_SHARED = ("withheld_objects", "images_hash", "problems_hash", "config")

Row = dict[str, Any]


class Check(NamedTuple):
    """A claim, whether the stored rows support it, and the evidence or the failures."""

    check: str
    passed: bool
    evidence: str


def audit_study(results: Place, frame: pd.DataFrame) -> pd.DataFrame:
    """Checks the holdout of a study.

    Args:
        results: folder or URI of the result store.
        frame: rows of `load_study` from there.
    Returns:
        The rows of `Check`.
    Raises:
        AnalysisError: no trial of the study has completed, or its files cannot be read.
    """
    if "completed" not in set(frame["status"]):
        study = frame["study"].iloc[0]
        raise AnalysisError(f"study={study!r} has no completed trial to audit yet; run it first")
    completed = frame.loc[frame["status"] == "completed"]
    completed = completed.reindex(columns=list(dict.fromkeys([*completed, "updates", *_STORED, *_SHARED])))
    trials: list[Row] = [{str(name): value for name, value in row.items()} for row in completed.to_dict("records")]
    checks = [
        *_holdout(trials),
        *_recorded(results, trials),
        _seeds(frame),
        _alike(trials),
        _planned_first(results, trials),
        *_untuned(results, trials),
    ]
    return pd.DataFrame(checks, columns=list(Check._fields))


def _holdout(trials: list[Row]) -> list[Check]:
    held = [trial for trial in trials if trial["withheld"]]
    return [
        _each(
            "No withheld object is in training",
            held,
            ("withheld_objects", "train_objects"),
            lambda t: (
                0 < len(t["train_objects"])
                and {*t["train_objects"]}.isdisjoint(t["withheld_objects"])
                and len(t["withheld_objects"]) == t["withheld"]
            ),
            "no training problem shows a withheld object",
        ),
        _each(
            "Test problems show withheld objects only",
            held,
            ("withheld_objects", "test_objects"),
            lambda t: 0 < len({*t["test_objects"]}) and {*t["test_objects"]} <= {*t["withheld_objects"]},
            "all objects shown in test problems are withheld",
        ),
        _each(
            "No test problem is a training problem",
            trials,
            ("repeated_problems",),
            lambda t: t["repeated_problems"] == 0,
            "no test problem shows the images of a training problem in the same order",
        ),
    ]


def _recorded(results: Place, trials: list[Row]) -> list[Check]:
    """A second source of evidence: the problems recorded in the keys table, step by step."""
    wanted = {trial["trial_id"]: trial for trial in trials if trial.get("keys") is True}
    if not wanted:
        return []
    if has_rows(results, "keys"):
        here = pc.field("trial_id").isin(list(wanted))
        shown = read(results, "keys", ["trial_id", "split", "object"], here).group_by(["trial_id", "split"])
        for row in shown.aggregate([("object", "distinct")]).to_pylist():
            wanted[row["trial_id"]] = {**wanted[row["trial_id"]], f"keys_{row['split']}": row["object_distinct"]}
    return [
        _each(
            "Recorded keys show the same split",
            [{"keys_train": None, "keys_test": None, **trial} for trial in wanted.values()],
            ("keys_train", "keys_test", "train_objects", "test_objects"),
            lambda t: all({*t[f"keys_{split}"]} == {*t[f"{split}_objects"]} for split in ("train", "test")),
            "the recorded steps show the same objects as the training and test problems",
        )
    ]


def _seeds(frame: pd.DataFrame) -> Check:
    """Arms of a condition may have different numbers of seeds, but must share the first ones."""
    name, bad, n_conditions = "Arms are planned on the same seeds", [], 0
    for _, of_condition in frame.groupby(["task", "withheld"], sort=False):
        n_conditions += 1
        seeds = sorted((set(of_arm) for _, of_arm in of_condition.groupby("arm")["seed"]), key=len)
        if not all(fewer <= more for fewer, more in pairwise(seeds)):
            bad.append("{}, m = {}".format(*of_condition[["task", "withheld"]].iloc[0]))
    if bad:
        return Check(name, False, f"not at {'; '.join(bad)}")
    return Check(
        name, True, f"at {_count(n_conditions, 'condition')}, the seeds of an arm include those of arms with fewer"
    )


def _alike(trials: list[Row]) -> Check:
    """At a seed, all arms have the same split and images, and arms that draw problems alike have the same problems."""
    name = "Arms share split, images and problems at each seed"
    if unknown := [trial for trial in trials if _unknown(trial, _SHARED)]:
        return Check(name, False, _silent(unknown, _SHARED))
    at_seed: dict[tuple, set[tuple]] = {}
    of_sizes: dict[tuple, set[str]] = {}
    for trial in trials:
        place = (trial["task"], trial["withheld"], trial["seed"])
        at_seed.setdefault(place, set()).add((tuple(trial["withheld_objects"]), trial["images_hash"]))
        settings = json.loads(trial["config"])
        drawn = (*place, *(settings.get(name) for name in _DRAWN_BY))
        of_sizes.setdefault(drawn, set()).add(trial["problems_hash"])
    bad = dict.fromkeys(key[:3] for key, variety in (*at_seed.items(), *of_sizes.items()) if len(variety) > 1)
    if bad:
        return Check(name, False, f"not at {'; '.join(f'{task}, m = {m}, seed {seed}' for task, m, seed in bad)}")
    more = len(of_sizes) - len(at_seed)
    other = f"; {_count(more, 'more set')} of problems for arms that draw them differently" if more else ""
    return Check(
        name,
        True,
        f"one split and one problem hash at each of {_count(len(at_seed), 'combination')} of task, m and seed{other}",
    )


def _planned_first(results: Place, trials: list[Row]) -> Check:
    plans = read(results, "plans", ["trial_id", "planned_at"]).to_pandas()
    first = plans.groupby("trial_id")["planned_at"].min()
    return _each(
        "Trials were planned before they were trained",
        trials,
        ("started_at",),
        lambda t: first[t["trial_id"]] <= t["started_at"],
        "the first plan of a trial, which has its settings, is older than the trial",
    )


def _untuned(results: Place, trials: list[Row]) -> list[Check]:
    ends: dict[str, tuple[int, int]] = {}  # number of points of a curve, and the last
    if has_rows(results, "curves"):
        here = pc.field("trial_id").isin([trial["trial_id"] for trial in trials])
        points = read(results, "curves", ["trial_id", "update"], here).group_by("trial_id")
        for row in points.aggregate([("update", "count"), ("update", "max")]).to_pylist():
            ends[row["trial_id"]] = (row["update_count"], row["update_max"])
    with_ends = [{**trial, "curve": ends.get(trial["trial_id"])} for trial in trials]
    return [
        _each(
            "Training continued to the planned update",
            with_ends,
            ("updates", "curve"),
            lambda t: t["curve"] in _whole_curves(int(t["updates"])),
            "the stored training curve ends at the planned update, not earlier and not later",
        ),
        _each(
            "Test problems were used after the last update",
            trials,
            ("updates", "tested_after"),
            lambda t: t["tested_after"] == t["updates"],
            "one test accuracy each, measured after the planned number of updates",
        ),
    ]


def _whole_curves(updates: int) -> list[tuple[int, int]]:
    """Returns number of points and last point of a curve, for the current and the earlier way of storing it."""
    coarse = range(0, updates, CURVE_STEP)
    last = updates - 1 if updates <= CURVE_START else coarse[-1]
    return [(count_curve_points(updates), last), (len(coarse), coarse[-1])]


def _each(name: str, trials: list[Row], needs: Sequence[str], holds: Callable[[Row], bool], evidence: str) -> Check:
    """Checks each trial separately."""
    if not trials:
        return Check(name, True, "does not apply to any completed trial")
    unknown = [trial for trial in trials if _unknown(trial, needs)]
    broken = [trial for trial in trials if not _unknown(trial, needs) and not holds(trial)]
    if broken or unknown:
        said = [f"fails in {_names(broken)}"] * bool(broken) + [_silent(unknown, needs)] * bool(unknown)
        return Check(name, False, "; ".join(said))
    return Check(name, True, f"{_count(len(trials), 'trial')}: {evidence}")


def _unknown(trial: Row, needs: Iterable[str]) -> list[str]:
    """Returns the needed columns that the trial has not stored."""
    return [name for name in needs if not hasattr(trial[name], "__len__") and pd.isna(trial[name])]


def _silent(trials: list[Row], needs: Sequence[str]) -> str:
    lack = {name for trial in trials for name in _unknown(trial, needs)}
    return f"not stored ({', '.join(name for name in needs if name in lack)}) in {_names(trials)}"


def _names(trials: list[Row]) -> str:
    """Names trials by variant: ``"3 trials: rmts, m = 95, baseline, seeds 0-2"``, cut after three variants."""
    seeds: dict[Cell, list[int]] = {}
    for trial in trials:
        seeds.setdefault(Cell(*(trial[column] for column in VARIANT)), []).append(int(trial["seed"]))
    named = [f"{cell}, seed{'s' * (len(numbers) > 1)} {spans(numbers)}" for cell, numbers in seeds.items()]
    rest = [f"and {len(named) - 3} more variants"] * (len(named) > 3)
    return f"{_count(len(trials), 'trial')}: {'; '.join([*named[:3], *rest])}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"
