"""Mean and standard error over seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Summary(NamedTuple):
    """Mean of n trained networks and its standard error, both in the unit of the values."""

    n: int
    mean: float  # NaN if n = 0
    sem: float  # NaN if n < 2


def summarise(values: Sequence[float] | np.ndarray) -> Summary:
    """Returns mean and standard error: sample standard deviation (ddof 1) divided by sqrt(n).

    Args:
        values: [n] float, one per trained network; none may be NaN.
    Raises:
        ValueError: a value is NaN, which would count in n but not in the mean.
    Source: "mean and standard error over ten networks", paper Tables 9-20.
    """
    x_N = np.asarray(values, dtype=float)
    if np.isnan(x_N).any():
        raise ValueError(f"values hold {np.isnan(x_N).sum()} NaN; leave out trials without a value")
    n = len(x_N)
    mean = float(x_N.mean()) if n else math.nan
    sem = float(x_N.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Summary(n, mean, sem)
