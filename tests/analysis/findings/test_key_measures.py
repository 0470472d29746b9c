"""Whether keys behave like symbols: the measures by hand, and on keys that do and do not."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from analysis_store import key_rows, trial, write_study

from analysis import AnalysisError, load_study
from analysis.findings.key_geometry import Trace, trace
from analysis.findings.key_measures import by_step, measures
from analysis.tables.key_measures import report
from study.store.schema import TABLES
from study.store.store import Store


def written(keys_PTK: np.ndarray, train_P: np.ndarray) -> Trace:
    """Keys of problems whose objects come back once each; reads are the keys of steps 1 to 3."""
    n_problems, n_steps, n_key = keys_PTK.shape
    objects_PT = np.tile([0, 1, 2, 0, 1, 2, 3, 4, 5][:n_steps], (n_problems, 1))
    reads = np.zeros((n_problems, n_steps - 1, n_key))
    reads[:, 2:5] = keys_PTK[:, :3]
    weights = np.ones((n_problems, n_steps, n_steps))
    return Trace("a", train_P, objects_PT, keys_PTK, reads, np.ones((n_problems, n_steps)), weights)


def test_measures_are_those_worked_by_hand() -> None:
    corners_TK = 4.0 * np.eye(9)  # any two steps are 4 sqrt(2) apart
    shift_K = np.full(9, 1.0)  # of all test keys: 3 away from training
    keys_PTK = np.stack([corners_TK, corners_TK, corners_TK + shift_K, corners_TK + shift_K])
    frame = measures(written(keys_PTK, np.array([True, True, False, False])))
    assert frame["distance"].tolist() == pytest.approx([3.0] * 9)
    assert frame["between"].tolist() == pytest.approx([4 * np.sqrt(2)] * 9)
    assert frame["overlap"].tolist() == pytest.approx([4 * np.sqrt(2) / 3] * 9)
    assert frame["spread"].tolist() == pytest.approx([0.0] * 9)
    assert frame["retrieved"].tolist() == pytest.approx([0.0] * 3 + [np.nan] * 6, nan_ok=True)


def test_spread_is_around_the_mean_of_the_test_keys() -> None:
    keys_PTK = np.tile(4.0 * np.eye(9), (4, 1, 1))
    keys_PTK[2, :, 0] += 1
    keys_PTK[3, :, 0] -= 1
    frame = measures(written(keys_PTK, np.array([True, True, False, False])))
    assert frame["spread"].tolist() == pytest.approx([1.0] * 9)
    assert np.isinf(frame["overlap"]).all()


def test_steps_are_decoded_where_keys_stand_for_them_and_guessed_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    train_P = np.arange(600) < 300
    apart, alike = (
        measures(written(centres_TK + 0.1 * rng.standard_normal((600, 9, 16)), train_P))["decoded"].to_numpy()
        for centres_TK in (rng.standard_normal((9, 16)), np.zeros((9, 16)))
    )
    assert apart.min() > 0.99
    assert alike.mean() == pytest.approx(1 / 9, abs=0.04)


def test_decoder_learns_from_training_problems_alone() -> None:
    rng = np.random.default_rng(0)
    centres_TK = rng.standard_normal((9, 16))
    keys_PTK = centres_TK + 0.01 * rng.standard_normal((200, 9, 16))
    train_P = np.arange(200) < 100
    keys_PTK[~train_P] = np.roll(keys_PTK[~train_P], 1, axis=1)  # in test, each step writes the key of the one before
    assert measures(written(keys_PTK, train_P))["decoded"].to_numpy().max() < 0.01


@pytest.fixture
def results(tmp_path: Path) -> str:
    rows = [trial("distribution_of_three", 95, "baseline", seed, 0.9) for seed in (0, 1)]
    folder = write_study(tmp_path, "s", rows, keys=True)
    for row in rows:
        Store(folder).write("keys", row["trial_id"], key_rows(row["trial_id"]))
    return folder


def test_by_step_has_a_row_per_network_and_step(results: str) -> None:
    frame = by_step(results, load_study(results, "s"))
    assert frame.groupby("seed")["step"].apply(list).to_dict() == {0: list(range(1, 10)), 1: list(range(1, 10))}
    rows = pa.Table.from_pylist(key_rows("x"), schema=TABLES["keys"])
    assert frame.loc[frame["seed"] == 0, "distance"].tolist() == measures(trace(rows))["distance"].tolist()


def test_report_states_n_the_error_and_what_holds_by_construction(results: str) -> None:
    text = report(by_step(results, load_study(results, "s")), "text")
    marks = [line.split("  ")[-1].strip() for line in text.splitlines()[2:6]]
    assert marks == ["same", "same", "one number", "nothing"]
    assert "ddof 1" in text
    assert text.splitlines()[2].split()[:5] == ["distribution_of_three", "95", "baseline", "2", "1"]


def test_report_as_csv_has_every_network(results: str) -> None:
    assert len(report(by_step(results, load_study(results, "s")), "csv").splitlines()) == 1 + 2 * 9


def test_by_step_says_what_makes_keys_where_there_are_none(tmp_path: Path) -> None:
    folder = write_study(tmp_path, "s", [trial("rmts", 95, "baseline", 0, 0.9)])
    with pytest.raises(
        AnalysisError, match="does not record keys; add `keys: true` to one of its grids and run it again"
    ):
        by_step(folder, load_study(folder, "s"))
