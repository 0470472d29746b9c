"""Interim analyses (looks) of a study: tests at numbers of seeds fixed in advance, while `esbn topup` adds seeds."""

import pandas as pd

from analysis.data.trials import VARIANT


def n_looks(frame: pd.DataFrame) -> int:
    """Returns the number of planned looks of a study, from rows of `load_study`; 1 if `esbn topup` has planned none."""
    return max((int(planned) for planned in frame["looks"].dropna()), default=1)


def at_looks(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns the trials that count in each look of a study.

    With one look, all trials count. With several, look k counts the first k times ``seeds_per_look`` seeds of a
    variant, once all of them have ended; results in between enter no test.

    Args:
        frame: rows of `load_study`.
    Returns:
        [looks] frames with at least one row per variant, in the same order. If a variant has not reached a look, its
        trials are missing there.
    """
    looks = n_looks(frame)
    return [frame] if looks == 1 else [_at(frame, look) for look in range(1, looks + 1)]


def _at(frame: pd.DataFrame, look: int) -> pd.DataFrame:
    due = look * frame["seeds_per_look"]  # NaN: a variant added later, whose looks are not planned yet
    here = frame.loc[due.isna() | (frame["seed"] < due)].copy()
    size = here.groupby(VARIANT)["seed"].transform("size")
    waits = (here["status"] == "missing").groupby([here[column] for column in VARIANT]).transform("any")
    here.loc[waits | (size < due[here.index]), "status"] = "missing"
    return here
