"""Training curves, averaged in SQL: a study can have tens of millions of points."""

from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.data.results import has_rows, read
from analysis.data.trials import VARIANT
from esbn_core.vocabulary import CURVE_STEP
from study.store.location import Place

BINS = 25  # points of a curve per decade of updates
_ROUNDING = 1e-9  # of a mean of fractions

_POINTS = f"""
WITH fine AS (
    SELECT variant, trial_id, bool_or("update" = 1) AS fine FROM curves JOIN trials USING (trial_id) GROUP BY ALL
), steps AS (
    SELECT variant, CASE WHEN bool_and(fine) THEN 1 ELSE {CURVE_STEP} END AS step FROM fine GROUP BY variant
), points AS (
    SELECT variant, trial_id, step, "update", accuracy
    FROM curves JOIN trials USING (trial_id) JOIN steps USING (variant) WHERE "update" % step = 0
)
"""
"""Curve points that all networks of a variant have; curves of earlier versions have only every 10th update."""

_MEANS = f"""{_POINTS}, binned AS MATERIALIZED (
    SELECT variant, trial_id, CASE WHEN "update" > 0 THEN floor({BINS} * log10("update")) ELSE -1 END AS bin,
           favg("update") AS "update", favg(accuracy) AS accuracy
    FROM points GROUP BY ALL
), counts AS (SELECT variant, count(DISTINCT trial_id) AS n FROM binned GROUP BY variant)
SELECT variant, n, bin, favg("update") AS "update", favg(accuracy) AS accuracy,
       coalesce(stddev_samp(accuracy) / sqrt(count(accuracy)), 0) AS sem
FROM binned JOIN counts USING (variant) GROUP BY ALL ORDER BY variant, bin
"""

_WINDOWS = f"""{_POINTS}, means AS (
    SELECT trial_id, step, "update", avg(accuracy) OVER batches AS mean, count(accuracy) OVER batches AS batches
    FROM points WINDOW batches AS (PARTITION BY trial_id ORDER BY "update" ROWS $before PRECEDING)
)
SELECT trial_id, step, count(*) AS points, max("update") AS last,
       min("update") FILTER (batches = $before + 1 AND mean >= $level) AS reached
FROM means GROUP BY ALL
"""


class Course(NamedTuple):
    """Training accuracy of one variant, in percent."""

    n: int  # networks
    updates: np.ndarray  # [U]
    mean: np.ndarray  # [U]
    sem: np.ndarray  # [U]; over networks, ddof 1; 0 if n = 1


def curves_of(results: Place, trials: pd.DataFrame) -> pa.Table:
    """Reads the curves of completed trials for `mean_courses`; no rows if the store has none."""
    columns = ["trial_id", "update", "accuracy"]
    completed = trials.loc[trials["status"] == "completed", "trial_id"].tolist()
    if not completed or not has_rows(results, "curves"):
        return pa.table({"trial_id": [], "update": [], "accuracy": []})
    return read(results, "curves", columns, pc.field("trial_id").isin(completed))


def mean_courses(trials: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> dict[tuple[str, int, str], Course]:
    """Returns training curves by task, m and arm: the mean over the networks of a variant, point by point.

    Measurements of a network within 1/25 of a decade of updates are averaged first, so each network counts once at each
    point. If a network of a variant has only every 10th update, every 10th is used for all.

    Args:
        trials: trial_id, task, withheld, arm and status; only completed trials count.
        curves: trial_id, update and accuracy, a fraction, in any order.
    """
    numbered = _numbered(trials)
    points = dict(iter(_ask(_MEANS, numbered, curves).groupby("variant")))
    courses = {}
    for variant, *at in numbered.drop_duplicates("variant")[["variant", *VARIANT]].itertuples(index=False):
        if (of_variant := points.get(variant)) is not None:
            updates_U, mean_U, sem_U = of_variant[["update", "accuracy", "sem"]].to_numpy(float).T
            courses[tuple(at)] = Course(int(of_variant["n"].iloc[0]), updates_U, 100 * mean_U, 100 * sem_U)
    return courses


def first_windows(trials: pd.DataFrame, curves: pa.Table | pd.DataFrame, level: float, window: int) -> pd.DataFrame:
    """Finds where each curve's average over a window of consecutive points first reaches a level of accuracy.

    Args:
        trials, curves: as for `mean_courses`.
        level: a fraction.
        window: number of points.
    Returns:
        A row per completed trial with a curve: trial_id; step, updates between its first points, 1, or 10 if a network
        of its variant has only every 10th; points, their number; last, the last point; and reached, the last point of
        the first window at the level, null if there is none. Both are numbers of updates made before.
    """
    within = {"before": window - 1, "level": level - _ROUNDING}
    return _ask(_WINDOWS, _numbered(trials), curves, within)


def _numbered(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns the completed trials, with the number of their variant in ``variant``."""
    completed = trials.loc[trials["status"] == "completed", ["trial_id", *VARIANT]]
    return completed.assign(variant=completed.groupby(VARIANT).ngroup())


def _ask(sql: str, numbered: pd.DataFrame, curves: pa.Table | pd.DataFrame, values: object = None) -> pd.DataFrame:
    with duckdb.connect() as connection:
        connection.register("trials", pa.Table.from_pandas(numbered[["trial_id", "variant"]], preserve_index=False))
        connection.register("curves", curves)
        return connection.sql(sql, params=values).df()
