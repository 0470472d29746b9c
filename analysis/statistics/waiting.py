"""Updates until something happens, where some networks end before it does (right-censored).

Legend: N networks, T distinct times.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import CensoredData, ecdf, quantile_test


class Steps(NamedTuple):
    """The share of networks to which it has happened, a step function that is 0 before the first time."""

    times_T: np.ndarray  # at which it may rise; the last is that of the last network, censored or not
    share_T: np.ndarray  # from that time on, a fraction


class Median(NamedTuple):
    """Time by which it has happened to half of the networks, with its 95 % interval; infinite: not within training."""

    value: float
    low: float  # NaN, as is high, where there is no such interval
    high: float


def reached(times_N: np.ndarray, censored_N: np.ndarray) -> Steps:
    """Estimates the share of networks to which it has happened by each time, by Kaplan and Meier.

    Args:
        times_N: [N] float, when it happened, or when a network ended without it; N of 1 or more.
        censored_N: [N] bool, which networks ended without it.
    Source: Kaplan and Meier 1958; `scipy.stats.ecdf`.
    """
    share = ecdf(CensoredData.right_censored(times_N, censored_N)).cdf
    return Steps(share.quantiles, share.probabilities)


def median(times_N: np.ndarray, censored_N: np.ndarray) -> Median:
    """Returns the first time by which the Kaplan-Meier share is 1/2 or more, and an exact interval.

    The interval runs between two order statistics, so it holds the true median with a probability of at least 0.95 for
    every distribution, ties included. There is none of fewer than 6 networks. It takes each censored network for later
    than all others, so there is none either if one was censored before it happened to another.

    Intervals from the log-log transform (Brookmeyer and Crowley 1982) hold it with probability 0.75 at N = 2, 0.88 at
    3, 0.93 at 7 and 0.94 at 10, and do not exist where all times are equal.

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
