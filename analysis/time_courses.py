"""Mean training curves of variants, worked out in SQL: a study can have tens of millions of points."""

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.load import VARIANT

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


def mean_curves(trials: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Training accuracy of every variant over updates: the mean over its trials, point by point.

    Measurements of a trial that are closer than 1/25 of a decade of updates are averaged first, so each trial counts
    once at a point.

    Args:
        trials: trial_id, task, withheld, arm and status; only completed trials count.
        curves: trial_id, update and accuracy, a fraction, in any order.
    Returns:
        A row per variant and point, by update: task, withheld, arm, n (its trials with a curve), bin (number of the
        point), update, accuracy, sem (standard error over trials with ddof 1; 0 where there is one).
    """
    completed = trials.loc[trials["status"] == "completed", ["trial_id", *VARIANT]]
    numbered = completed.assign(variant=completed.groupby(VARIANT).ngroup())
    with duckdb.connect() as connection:
        connection.register("trials", pa.Table.from_pandas(numbered[["trial_id", "variant"]], preserve_index=False))
        connection.register("curves", curves)
        means = connection.sql(_SQL).df()
    variants = numbered.drop_duplicates("variant")[["variant", *VARIANT]]
    return variants.merge(means, on="variant").drop(columns="variant")
