"""Geometry of the keys of one trained ESBN: principal components, reads, and the numbers for Figure 9.

Dimensions: P problems, T steps of a problem, R reads, K key.
"""

from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.errors import AnalysisError

LIMIT_MARGIN = 0.05  # panel b's limits: range of the written keys, widened on each side by this share of it
NO_VARIANCE = 1e-9  # share of the variance below which a component is rounding error


class Trace(NamedTuple):
    """Keys that one network wrote and read, training problems last."""

    trial_id: str
    train: np.ndarray  # [P] bool, whether a training problem
    objects: np.ndarray  # [P, T] int, object shown
    keys: np.ndarray  # [P, T, K] float32, key written
    reads: np.ndarray  # [P, T-1, K] float32, gated read at steps 2..T
    gates: np.ndarray  # [P, T] float32, NaN at step 1
    weights: np.ndarray  # [P, T, T] float32, weight on the entry written at each step; NaN if there is no entry


class Reads(NamedTuple):
    """Reads at the second appearance of an object."""

    train: np.ndarray  # [R] bool
    role: np.ndarray  # [R] int, step o of the first appearance
    step: np.ndarray  # [R] int, step t of the second
    read: np.ndarray  # [R, K] float32, gated
    key: np.ndarray  # [R, K] float32, k_o
    gate: np.ndarray  # [R] float32
    weight: np.ndarray  # [R] float32, retrieval weight on entry o


class Axes(NamedTuple):
    """The first two principal components of the written keys."""

    mean: np.ndarray  # [K]
    axes: np.ndarray  # [K, 2] orthonormal columns; zeros for a component without variance
    variance: np.ndarray  # [2] share of the total variance

    def project(self, keys_K: np.ndarray) -> np.ndarray:
        """[..., K] keys or reads to [..., 2] components."""
        return keys_K @ self.axes.astype(keys_K.dtype) - self.mean @ self.axes


def trace(keys: pa.Table) -> Trace:
    """Returns the rows of the keys table of one trial as arrays, without a Python object per number.

    Args:
        keys: all rows of one trial, in any order.
    Raises:
        AnalysisError: there are rows of several trials, or a problem lacks a step.
    """
    trials = keys["trial_id"].unique().to_pylist()
    if len(trials) != 1:
        raise AnalysisError(f"keys has rows of {len(trials)} trials; give the rows of one trial")
    rows = _in_order(keys)
    steps = rows["step"].to_numpy()
    T = int(steps.max())
    if len(steps) % T or (steps.reshape(-1, T) != np.arange(1, T + 1)).any():
        raise AnalysisError(f"keys of trial {trials[0]} lack steps of some problems; delete its files and run it again")
    return Trace(
        trial_id=trials[0],
        train=_is_train(rows)[::T],
        objects=rows["object"].to_numpy().reshape(-1, T),
        keys=_vectors(rows["key"]).reshape(len(steps) // T, T, -1),
        reads=_vectors(rows["read"]).reshape(len(steps) // T, T - 1, -1),
        gates=rows["gate"].to_numpy().reshape(-1, T),
        weights=_entry_weights(rows["weights"], T),
    )


def _in_order(keys: pa.Table) -> pa.Table:
    """Sorts rows by split (test, then train), problem and step; makes no copy if they are sorted already."""
    places_N = _is_train(keys) * 10**9 + keys["problem"].to_numpy() * 10**2 + keys["step"].to_numpy()
    return keys if (np.diff(places_N) > 0).all() else keys.take(np.argsort(places_N, kind="stable"))


def _is_train(keys: pa.Table) -> np.ndarray:
    return keys["split"].to_numpy() == "train"


def _vectors(column: pa.ChunkedArray) -> np.ndarray:
    """[non-null rows * K], the numbers of a list column, concatenated."""
    return _lists(column).flatten().to_numpy()


def _lists(column: pa.ChunkedArray) -> pa.ListArray:
    return cast(pa.ListArray, column.combine_chunks())


def _entry_weights(column: pa.ChunkedArray, T: int) -> np.ndarray:
    """[P, T, T]; the last t-1 weights at step t belong to entries 1..t-1, with or without a default entry before."""
    flat = _vectors(column)
    ends = np.cumsum(_lists(column).value_lengths().fill_null(0).to_numpy())
    t, o = np.arange(T)[:, None], np.arange(T)  # counted from 0
    places_PTT = ends.reshape(-1, T)[:, :, None] - t + o
    return np.where(o < t, flat[np.where(o < t, places_PTT, 0)], np.float32("nan"))


def reads(trace: Trace) -> Reads:
    """Returns the read at the second appearance of each object that a problem shows again, for any task.

    An object has role o if it first appears at step o. At its second appearance, at step t, exactly one memory entry
    holds it, so a perfect retrieval gives k_o. At a third appearance, two entries hold it and share the weight, so
    those reads do not count. A step that shows an object again has no role. So the rule of a task determines its roles:

        same/different          1 (only problems with the answer "same")
        rmts                    1, 3, 5: the first object of each pair of equals
        distribution of three   1, 2, 3: the first row, shown again in the second row or among the choices
        identity rules          AAA: 1, 4; ABA: 1, 2, 4, 5; ABB: 1, 2, 4, 5

    Returns:
        Reads, sorted by role and then by problem.
    Source: paper Figure 9 (right) and the official key-analysis script, for distribution of three.
    """
    shown_PT, n_steps = trace.objects, trace.objects.shape[1]
    parts = []
    for o in range(n_steps):  # counted from 0
        again_PT = shown_PT[:, o + 1 :] == shown_PT[:, [o]]
        before_P = (shown_PT[:, :o] == shown_PT[:, [o]]).any(axis=1)
        p = np.flatnonzero(again_PT.any(axis=1) & ~before_P)
        t = o + 1 + again_PT[p].argmax(axis=1) if len(p) else p
        parts.append(
            Reads(
                train=trace.train[p],
                role=np.full(len(p), o + 1),
                step=t + 1,
                read=trace.reads[p, t - 1],
                key=trace.keys[p, o],
                gate=trace.gates[p, t],
                weight=trace.weights[p, t, o],
            )
        )
    return Reads(*map(np.concatenate, zip(*parts, strict=True)))


def relative_errors(recalled: Reads) -> np.ndarray:
    """[R] |r - k_o| / |k_o|; NaN or infinite if k_o is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.linalg.norm(recalled.read - recalled.key, axis=1) / np.linalg.norm(recalled.key, axis=1)


def compared_steps(recalled: Reads, n_steps: int) -> list[int]:
    """Returns the steps whose keys panel b shows: the roles, or all steps if there are fewer than two roles."""
    roles = np.unique(recalled.role).tolist()
    return roles if len(roles) > 1 else list(range(1, n_steps + 1))


def principal_axes(keys_PTK: np.ndarray) -> Axes:
    """Returns the centred principal components of all written keys; signs make the first key's components negative.

    A component without variance is zero: the second one for keys of size 1 or keys on one line, as in same/different;
    both if all keys agree.

    Args:
        keys_PTK: [P, T, K] float, training and test problems stacked.
    """
    mean_K = keys_PTK.mean(axis=(0, 1), dtype=np.float64)
    covariance_KK = np.zeros((len(mean_K), len(mean_K)))
    for t in range(keys_PTK.shape[1]):  # step by step, to avoid a second copy of all keys
        centred_PK = keys_PTK[:, t] - mean_K
        covariance_KK += centred_PK.T @ centred_PK
    variances, vectors = np.linalg.eigh(covariance_KK)  # ascending
    if len(variances) == 1:  # keys of size 1
        variances, vectors = np.append(0.0, variances), np.insert(vectors, 0, 0.0, axis=1)
    axes_K2, share_2 = vectors[:, [-1, -2]], (variances[[-1, -2]] / (variances.sum() or 1.0)).clip(max=1)
    there_2 = share_2 > NO_VARIANCE
    signs_2 = np.where((keys_PTK[0, 0] - mean_K) @ axes_K2 > 0, -1.0, 1.0)
    return Axes(mean_K, axes_K2 * signs_2 * there_2, np.where(there_2, share_2, 0.0))


def panel_limits(points_N2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and highest [2] component that a panel with these points shows; the two always differ."""
    low, high = points_N2.min(axis=0), points_N2.max(axis=0)
    span = high - low
    margin = np.where(span > 0, LIMIT_MARGIN * span, (span.max() or 1.0) / 2)
    return low - margin, high + margin


def outside(points_N2: np.ndarray, low_2: np.ndarray, high_2: np.ndarray) -> np.ndarray:
    """[N] bool, points outside a panel with these limits."""
    return np.any((points_N2 < low_2) | (points_N2 > high_2), axis=1)


def key_summary(keys: pa.Table) -> pd.DataFrame:
    """Returns the numbers for Figure 9, for one trial.

    Args:
        keys: all rows of the keys table of one trial.
    Returns:
        A row per split (train, test) with
        problems, reads: their numbers; reads are those of `reads`; without reads, values derived from them are NaN;
        weight_median: retrieval weight on the entry written with the object;
        gate_min, gate_max: gate of those reads;
        distance_median: |r - k_o| / |k_o|;
        k3_sd_1, k3_sd_2: standard deviation (ddof 1) of k_3 on components 1 and 2; NaN with only two steps;
        outside: reads outside the limits of panel b;
        variance_1, variance_2: share of the variance of all written keys in each component, a fraction.
    """
    written = trace(keys)
    axes = principal_axes(written.keys)
    recalled = reads(written)
    compared = np.subtract(compared_steps(recalled, written.keys.shape[1]), 1)
    limits = panel_limits(axes.project(written.keys[:, compared]).reshape(-1, 2))
    distance_R = relative_errors(recalled)
    outside_R = outside(axes.project(recalled.read), *limits)
    rows = {}
    for split, train in (("train", True), ("test", False)):
        p, r = written.train == train, recalled.train == train
        k3_P2 = axes.project(written.keys[p, 2]) if written.keys.shape[1] > 2 else np.empty((0, 2))
        k3_sd_2 = k3_P2.std(axis=0, ddof=1) if len(k3_P2) > 1 else [np.nan, np.nan]
        gate_R = recalled.gate[r] if r.any() else [np.nan]
        rows[split] = {
            "problems": p.sum(),
            "reads": r.sum(),
            "weight_median": median(recalled.weight[r]),
            "gate_min": np.min(gate_R),
            "gate_max": np.max(gate_R),
            "distance_median": median(distance_R[r]),
            "k3_sd_1": k3_sd_2[0],
            "k3_sd_2": k3_sd_2[1],
            "outside": outside_R[r].sum(),
            "variance_1": axes.variance[0],
            "variance_2": axes.variance[1],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("split")


def median(values_N: np.ndarray) -> float:
    """Median; NaN if there are no values."""
    return np.median(values_N) if len(values_N) else np.nan
