"""Updates until an event, where some networks end before it happens (right-censored).

Legend: N networks, T distinct times.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import CensoredData, ecdf, quantile_test


class Steps(NamedTuple):
    """Share of networks with the event, a step function that is 0 before the first time."""

    times_T: np.ndarray  # times of possible steps; the last is that of the last network, censored or not
    share_T: np.ndarray  # share from that time on, a fraction


class Median(NamedTuple):
    """Time by which half of the networks have the event, with 95 % interval; infinite: not within training."""

    value: float
    low: float  # NaN, like high, if there is no interval
    high: float


def reached(times_N: np.ndarray, censored_N: np.ndarray) -> Steps:
    """Estimates the share of networks with the event by each time (Kaplan-Meier).

    Args:
        times_N: [N] float, time of the event, or of the end of a network without it; N is 1 or more.
        censored_N: [N] bool, which networks ended without it.
    Source: Kaplan and Meier 1958; `scipy.stats.ecdf`.
    """
    share = ecdf(CensoredData.right_censored(times_N, censored_N)).cdf
    return Steps(share.quantiles, share.probabilities)


def median(times_N: np.ndarray, censored_N: np.ndarray) -> Median:
    """Returns the first time at which the Kaplan-Meier share is at least 1/2, and an exact interval.

    The interval lies between two order statistics, so it covers the true median with probability at least 0.95 for any
    distribution, including ties. It needs 6 networks. It treats censored networks as later than all others, so there is
    no interval if one was censored before the event of another.

    Intervals from the log-log transform (Brookmeyer and Crowley 1982) cover it with probability 0.75 at N = 2, 0.88 at
    3, 0.93 at 7 and 0.94 at 10, and do not exist if all times are equal.

    Args:
        times_N, censored_N: as for `reached`.
    Source: `scipy.stats.quantile_test` (Conover 1999, section 3.2).
    """
    steps = reached(times_N, censored_N)
    half = steps.times_T[steps.share_T >= 0.5 - 1e-9]  # rounding of a product of fractions
    value = float(half[0]) if len(half) else math.inf
    if np.min(times_N[censored_N], initial=math.inf) < np.max(times_N[~censored_N], initial=-math.inf):
        return Median(value, math.nan, math.nan)
    low, _ = quantile_test(times_N, p=0.5).confidence_interval(0.95)
    _, high = quantile_test(np.where(censored_N, math.inf, times_N), p=0.5).confidence_interval(0.95)
    return Median(value, float(low), float(high))
