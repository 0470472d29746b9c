"""Measures of how far keys behave like symbols, over all networks of a study: the numbers behind Figure 9.

Legend: P problems, T steps, K key, N networks.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings import key_geometry
from analysis.findings.key_trials import by_construction, refusal, stored_keys
from study.store.location import Place

RIDGE = 1e-3  # relative to the mean square of a key's entries; added to the normal equations of the decoder


def by_step(results: Place, frame: pd.DataFrame) -> pd.DataFrame:
    """Measures every network of a study with stored keys, step by step.

    Args:
        results: folder or URI of the result store.
        frame: rows of `load_study` from there.
    Returns:
        A row per trial and step t with the columns of the variant, ``seed`` and
        by_construction: what the keys of this step share for any weights, see `by_construction`;
        distance: between the mean keys of training and test problems;
        spread: root mean square distance of the test problems' keys from their mean;
        between: mean distance of the step's mean key from those of the other steps;
        overlap: between / distance, the ratio of the distance between steps to that between training and test
        (infinite if training and test agree, NaN if the steps agree, too);
        decoded: step-decoding accuracy on the test problems' keys of this step, of a linear decoder trained on the keys
        of the training problems; a fraction;
        retrieved: median |r - k_t| / |k_t| over the test problems' reads of this step's entry (see
        `key_geometry.reads`); NaN if there are none.
    Raises:
        AnalysisError: none of the trials has stored keys.
    """
    frames = []
    for row, keys in stored_keys(results, frame):
        measured = measures(key_geometry.trace(keys))
        about = {name: row[name] for name in (*VARIANT, "seed")}
        frames.append(measured.assign(**about, by_construction=by_construction(row, len(measured))))
    if not frames:
        raise refusal(frame)
    return pd.concat(frames, ignore_index=True)


def measures(trace: key_geometry.Trace) -> pd.DataFrame:
    """Returns the measures of one network, a row per step, with the columns of `by_step`."""
    train_PTK, test_PTK = (trace.keys[trace.train == split].astype(float) for split in (True, False))
    means_TK, test_means_TK = train_PTK.mean(axis=0), test_PTK.mean(axis=0)
    centres_TK = (means_TK + test_means_TK) / 2
    apart_TT = np.linalg.norm(centres_TK[:, None] - centres_TK, axis=2)
    n_steps = len(apart_TT)
    distance_T = np.linalg.norm(means_TK - test_means_TK, axis=1)
    between_T = apart_TT.sum(axis=1) / (n_steps - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap_T = between_T / distance_T
    recalled = key_geometry.reads(trace)
    error_R = key_geometry.relative_errors(recalled)
    of_step = [error_R[(recalled.role == t) & ~recalled.train] for t in range(1, n_steps + 1)]
    return pd.DataFrame(
        {
            "step": np.arange(1, n_steps + 1),
            "distance": distance_T,
            "spread": np.sqrt(np.square(test_PTK - test_means_TK).sum(axis=2).mean(axis=0)),
            "between": between_T,
            "overlap": overlap_T,
            "decoded": (_decoder(train_PTK)(test_PTK) == np.arange(n_steps)).mean(axis=0),
            "retrieved": [key_geometry.median(error) for error in of_step],
        }
    )


def similarity(trace: key_geometry.Trace) -> np.ndarray:
    """[T, T] cosine similarity of mean keys: training problems at one step, test problems at another.

    The mean over all steps of the training problems, a part that all keys share, is first subtracted from both. NaN if
    one of them is then zero.
    """
    means_STK = np.stack([trace.keys[trace.train == split].mean(axis=0, dtype=float) for split in (True, False)])
    means_STK = means_STK - means_STK[0].mean(axis=0)
    with np.errstate(invalid="ignore"):
        train_TK, test_TK = means_STK / np.linalg.norm(means_STK, axis=2, keepdims=True)
    return train_TK @ test_TK.T


def _decoder(keys_PTK: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Ridge regression of the one-hot step on the key and a constant: [P, T, K] -> the likeliest step, from 0."""

    def design(x_PTK: np.ndarray) -> np.ndarray:
        x_NK = x_PTK.reshape(-1, x_PTK.shape[-1])
        return np.column_stack([x_NK, np.ones(len(x_NK))])

    x_NK, steps_N = design(keys_PTK), np.tile(np.arange(keys_PTK.shape[1]), len(keys_PTK))
    penalty_KK = RIDGE * np.square(x_NK).mean() * len(x_NK) * np.eye(x_NK.shape[1])
    weights_KT = np.linalg.solve(x_NK.T @ x_NK + penalty_KK, x_NK.T @ np.eye(keys_PTK.shape[1])[steps_N])
    return lambda x_PTK: (design(x_PTK) @ weights_KT).argmax(axis=1).reshape(x_PTK.shape[:2])
