"""Summary of an arm over many conditions in one number, with a stratified bootstrap interval.

Legend: R networks of one arm at a condition, S of another arm at the same condition, B resamples, N all networks of an
arm.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
_SEED = 0


class Estimate(NamedTuple):
    """A value and its 95 % interval, the 2.5th and 97.5th percentile of the resamples."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: Sequence[np.ndarray]) -> Estimate:
    """Averages the middle half of all scores, without the lowest and highest quarter (rounded down).

    Args:
        scores: for each condition [R] float, one per network; R may differ.
    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice";
        rliable 1.2.0, `metrics.aggregate_iqm` and `StratifiedBootstrap`.
    """
    rng = np.random.default_rng(_SEED)
    resampled_BN = np.hstack([_resampled(scores_R, rng) for scores_R in scores])
    return _estimate(_middle_mean(np.concatenate(scores)), _middle_mean(resampled_BN))


def improvement(scores: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Estimate:
    """Returns the probability that a network of one arm beats one of another; ties count half, conditions equally.

    Compares all pairs of networks at each condition and resamples each arm separately; ignores the pairing by seed.

    Args:
        scores: for each condition [R] float, one per network of the arm.
        others: for each condition, in the same order, [S] float, one per network of the other arm.
    Source: Agarwal et al. 2021; rliable 1.2.0, `metrics.probability_of_improvement`.
    """
    pairs = list(zip(scores, others, strict=True))
    value = np.mean([_wins(x_R, y_S) for x_R, y_S in pairs], axis=0)
    rng = np.random.default_rng(_SEED)
    resampled = [_wins(_resampled(x_R, rng), _resampled(y_S, rng)) for x_R, y_S in pairs]
    return _estimate(value, np.mean(resampled, axis=0))


def _resampled(scores_R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return scores_R[rng.integers(len(scores_R), size=(RESAMPLES, len(scores_R)))]  # [B, R]


def _middle_mean(scores: np.ndarray) -> np.ndarray:
    """[..., N] -> [...]"""
    n = scores.shape[-1]
    return np.sort(scores)[..., n // 4 : n - n // 4].mean(axis=-1)


def _wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[..., R], [..., S] -> [...], the share of R x S pairs that x wins."""
    signs = np.sign(x[..., :, None] - y[..., None, :])
    return (1 + signs.mean(axis=(-2, -1))) / 2


def _estimate(value: np.ndarray, resampled_B: np.ndarray) -> Estimate:
    return Estimate(float(value), *map(float, np.percentile(resampled_B, [2.5, 97.5])))
