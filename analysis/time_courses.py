"""Mean training curves of variants, worked out in SQL: a study can have tens of millions of points."""

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.load import VARIANT

BINS = 25  # points of a curve per decade of updates

_BINNED = f"""
SELECT {", ".join(VARIANT)}, trial_id, favg("update") AS "update", favg(accuracy) AS accuracy,
       CASE WHEN "update" > 0 THEN floor({BINS} * log10("update")) ELSE -1 END AS bin
FROM curves JOIN trials USING (trial_id) WHERE status = 'completed' GROUP BY ALL
"""
_MEANS = f"""
WITH binned AS MATERIALIZED ({_BINNED}),
     counts AS (SELECT {", ".join(VARIANT)}, count(DISTINCT trial_id) AS n FROM binned GROUP BY ALL)
SELECT {", ".join(VARIANT)}, n, bin, favg("update") AS "update", favg(accuracy) AS accuracy,
       coalesce(stddev_samp(accuracy) / sqrt(count(accuracy)), 0) AS sem
FROM binned JOIN counts USING ({", ".join(VARIANT)}) GROUP BY ALL ORDER BY {", ".join(VARIANT)}, bin
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
    with duckdb.connect() as connection:
        connection.register("trials", pa.Table.from_pandas(trials[["trial_id", *VARIANT, "status"]]))
        connection.register("curves", curves)
        return connection.sql(_MEANS).df()
