"""Time courses of training, averaged in SQL: a study can have tens of millions of points."""

from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.data.results import has_rows, read
from analysis.data.trials import VARIANT
from study.store.location import Place

BINS = 25  # points of a curve per decade of updates

_SQL = f"""
WITH binned AS MATERIALIZED (
    SELECT variant, trial_id, CASE WHEN "update" > 0 THEN floor({BINS} * log10("update")) ELSE -1 END AS bin,
           favg("update") AS "update", favg(accuracy) AS accuracy
    FROM curves JOIN trials USING (trial_id) GROUP BY ALL
), counts AS (SELECT variant, count(DISTINCT trial_id) AS n FROM binned GROUP BY variant)
SELECT variant, n, bin, favg("update") AS "update", favg(accuracy) AS accuracy,
       coalesce(stddev_samp(accuracy) / sqrt(count(accuracy)), 0) AS sem
FROM binned JOIN counts USING (variant) GROUP BY ALL ORDER BY variant, bin
"""


class Course(NamedTuple):
    """Training accuracy of one variant, in percent."""

    n: int  # networks
    updates: np.ndarray  # [U]
    mean: np.ndarray  # [U]
    sem: np.ndarray  # [U]; over networks, ddof 1; 0 if n = 1


def curves_of(results: Place, trials: pd.DataFrame) -> pa.Table:
    """Reads the curves of completed trials, as `mean_courses` takes them; none where the store has none."""
    columns = ["trial_id", "update", "accuracy"]
    completed = trials.loc[trials["status"] == "completed", "trial_id"].tolist()
    if not completed or not has_rows(results, "curves"):
        return pa.table({"trial_id": [], "update": [], "accuracy": []})
    return read(results, "curves", columns, pc.field("trial_id").isin(completed))


def mean_courses(trials: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> dict[tuple[str, int, str], Course]:
    """Returns time courses of training by task, m and arm: the mean over the networks of a variant, point by point.

    Measurements of a network that are closer than 1/25 of a decade of updates are averaged first, so each network
    counts once at a point.

    Args:
        trials: trial_id, task, withheld, arm and status; only completed trials count.
        curves: trial_id, update and accuracy, a fraction, in any order.
    """
    completed = trials.loc[trials["status"] == "completed", ["trial_id", *VARIANT]]
    numbered = completed.assign(variant=completed.groupby(VARIANT).ngroup())
    with duckdb.connect() as connection:
        connection.register("trials", pa.Table.from_pandas(numbered[["trial_id", "variant"]], preserve_index=False))
        connection.register("curves", curves)
        points = dict(iter(connection.sql(_SQL).df().groupby("variant")))
    courses = {}
    for variant, *at in numbered.drop_duplicates("variant")[["variant", *VARIANT]].itertuples(index=False):
        if (of_variant := points.get(variant)) is not None:
            updates_U, mean_U, sem_U = of_variant[["update", "accuracy", "sem"]].to_numpy(float).T
            courses[tuple(at)] = Course(int(of_variant["n"].iloc[0]), updates_U, 100 * mean_U, 100 * sem_U)
    return courses
