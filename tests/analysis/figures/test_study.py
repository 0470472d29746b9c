"""Figures by their contents: which points, rings, words and numbers they hold, and where."""

import statistics
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from analysis_store import curve, key_rows, object_rows, trial, write_study
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from panels import lines, notes, points, scatter

from analysis import AnalysisError, load_study
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.curves import draw_curves
from analysis.figures.keys import draw_keys
from analysis.figures.objects import draw_objects
from analysis.figures.palette import styles
from analysis.figures.study import save_all
from analysis.findings import key_geometry
from study.store.schema import TABLES
from study.store.store import Store

TASK = "distribution_of_three"


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """rmts m=95: baseline 3 of 3, tcn=none 2 of 3, one failed, own_arm 0 of 3; same_different m=98: baseline 1 of 1."""
    planned = [trial("rmts", 95, "baseline", seed, 0.9 + seed / 100) for seed in range(3)]
    planned += [trial("rmts", 95, "tcn=none", seed, None if seed else 0.5) for seed in range(2)]
    planned += [trial("rmts", 95, "tcn=none", 2, 0.6), *(trial("rmts", 95, "own_arm", seed, 0.7) for seed in range(3))]
    planned += [trial("same_different", 98, "baseline", 0, 1.0)]
    trained = [row for row in planned if row["arm"] != "own_arm"]
    return load_study(write_study(tmp_path, "s", planned, trained), "s")


@pytest.fixture
def keys() -> pa.Table:
    return pa.Table.from_pylist(key_rows("net"), schema=TABLES["keys"])


def test_accuracy_draws_the_means_in_percent(frame: pd.DataFrame) -> None:
    panel = draw_accuracy(frame).axes[0]
    assert points(panel, "ours")[:, 1] == pytest.approx([91.0])
    assert points(panel, "incomplete")[:, 1] == pytest.approx([55.0])


def test_accuracy_draws_error_bars_of_one_standard_error(frame: pd.DataFrame) -> None:
    panel = draw_accuracy(frame).axes[0]
    bars = next(artist for artist in panel.collections if isinstance(artist, LineCollection))
    (segment,) = bars.get_segments()
    assert np.ptp(segment[:, 1]) / 2 == pytest.approx(100 * statistics.stdev([0.9, 0.91, 0.92]) / 3**0.5)


def test_accuracy_draws_the_paper_as_hollow_markers(frame: pd.DataFrame) -> None:
    panel = draw_accuracy(frame).axes[0]
    assert points(panel, "paper")[:, 1] == pytest.approx([95.0, 51.0])  # Table 10; the paper has no own_arm
    assert {line.get_markerfacecolor() for line in lines(panel, "paper")} == {"none"}


def test_accuracy_gives_an_arm_and_its_paper_value_the_same_place_and_look(frame: pd.DataFrame) -> None:
    panel = draw_accuracy(frame).axes[0]
    (ours, *_), (paper, *_) = lines(panel, "ours"), lines(panel, "paper")
    assert ours.get_xdata() == pytest.approx(paper.get_xdata())
    assert (ours.get_color(), ours.get_marker()) == (paper.get_color(), paper.get_marker())


def test_accuracy_keeps_arms_of_equal_accuracy_apart(tmp_path: Path) -> None:
    planned = [trial("rmts", 95, arm, 0, 0.9) for arm in ("baseline", "tcn=none", "encoder=mlp")]
    figure = draw_accuracy(load_study(write_study(tmp_path, "s", planned), "s"))
    x_N = points(figure, "ours")[:, 0]
    assert len(set(x_N)) == 3 and np.all(np.abs(x_N) < 0.5)


def test_accuracy_centres_a_single_arm(tmp_path: Path) -> None:
    planned = [trial("rmts", m, "baseline", 0, 0.9) for m in (0, 50)]
    figure = draw_accuracy(load_study(write_study(tmp_path, "s", planned), "s"))
    assert points(figure, "ours")[:, 0].tolist() == [0, 1]


def test_accuracy_draws_incomplete_variants_pale_with_an_edge(frame: pd.DataFrame) -> None:
    panel = draw_accuracy(frame).axes[0]
    (pale,) = [line for line in lines(panel, "incomplete") if np.size(line.get_xydata())]
    assert min(to_rgb(pale.get_markerfacecolor())) > 0.7
    assert pale.get_markeredgecolor() == pale.get_color() and pale.get_markeredgewidth() > 0
    assert all(line.get_markerfacecolor() == line.get_color() for line in lines(panel, "ours"))


def test_accuracy_hatches_an_m_at_which_nothing_is_trained(tmp_path: Path) -> None:
    planned = [trial("rmts", m, arm, 0, 0.9) for m in (0, 50, 95) for arm in ("baseline", "tcn=none")]
    results = write_study(tmp_path, "s", planned, planned[:3])
    panel = draw_accuracy(load_study(results, "s")).axes[0]
    (hatched,) = [patch for patch in panel.patches if patch.get_gid() == "untrained"]
    assert hatched.get_hatch() and hatched.get_extents().transformed(panel.transData.inverted()).intervalx == (
        pytest.approx([1.5, 2.5])
    )


def test_accuracy_lists_incomplete_and_missing_variants(frame: pd.DataFrame) -> None:
    text = notes(draw_accuracy(frame))
    assert "Incomplete: Relational match-to-sample, m = 95, no TCN (2 of 3 trained, 1 failed)." in text
    assert "None trained: Relational match-to-sample, m = 95, ESBN, own arm." in text


def test_accuracy_lists_variants_that_lack_the_same_together(tmp_path: Path) -> None:
    planned = [trial("rmts", m, arm, seed, 0.9) for m in (0, 50) for arm in ("baseline", "x=1") for seed in (0, 1)]
    results = write_study(tmp_path, "s", planned, planned[::2])
    text = notes(draw_accuracy(load_study(results, "s")))
    assert "Relational match-to-sample, m = 0, 50, ESBN (baseline) · ESBN, x 1 (1 of 2 trained, 1 missing)." in text


def test_accuracy_states_n_and_error_bars(frame: pd.DataFrame) -> None:
    text = notes(draw_accuracy(frame))
    assert "n = 3 trained networks per mean unless listed" in text
    assert "Other n: Same/different, m = 98, ESBN (baseline) (1 of 1 trained)." in text
    assert "± standard error of the mean over seeds (ddof 1). Paper: n = 10." in text


@pytest.mark.parametrize(("task", "chance"), [("same_different", 50), ("rmts", 50), (TASK, 25), ("identity_rules", 25)])
def test_accuracy_draws_chance(tmp_path: Path, task: str, chance: float) -> None:
    results = write_study(tmp_path, "s", [trial(task, 95, "baseline", 0, 0.9)])
    (line,) = lines(draw_accuracy(load_study(results, "s")), "chance")
    assert set(np.asarray(line.get_ydata())) == {chance}


def test_accuracy_spaces_m_evenly(tmp_path: Path) -> None:
    planned = [trial("rmts", m, "baseline", 0, 0.9) for m in (95, 0, 50)]
    panel = draw_accuracy(load_study(write_study(tmp_path, "s", planned), "s")).axes[0]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0", "50", "95"]
    assert np.diff(panel.get_xticks()).tolist() == [1, 1]


def test_accuracy_is_drawn_when_nothing_is_trained(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [trial("rmts", 95, "own_arm", 0, 0.9)], [])
    assert "None trained: Relational match-to-sample, m = 95, ESBN, own arm." in notes(
        draw_accuracy(load_study(results, "s"))
    )


def test_curves_draws_the_mean_over_completed_trials(frame: pd.DataFrame) -> None:
    of_seed = [[0.5, 0.6, 0.9], [0.7, 0.6, 1.0], [0.6, 0.3, 0.8]]
    rows = pd.DataFrame([r for s, accuracies in enumerate(of_seed) for r in curve(f"rmts-95-baseline-{s}", accuracies)])
    failed = pd.DataFrame(curve("rmts-95-tcn_none-1", [0.1, 0.1, 0.1]))
    (line,) = lines(draw_curves(frame, pd.concat([rows, failed])), "mean")  # of three networks; the others have none
    assert line.get_xydata() == pytest.approx(np.array([[0, 60], [10, 50], [20, 90]]))


def test_curves_marks_each_arm(frame: pd.DataFrame) -> None:
    ids = ("rmts-95-baseline-0", "rmts-95-tcn_none-0")
    rows = pd.DataFrame([row for name in ids for row in curve(name, [0.5, 1.0])])
    drawn = lines(draw_curves(frame, rows), "incomplete")
    assert [line.get_marker() for line in drawn] == [styles([arm])[arm].marker for arm in ("baseline", "tcn=none")]


def test_curves_states_n_and_band(frame: pd.DataFrame) -> None:
    rows = pd.DataFrame([row for seed in (0, 1) for row in curve(f"rmts-95-baseline-{seed}", [0.5, 1.0])])
    text = notes(draw_curves(frame, rows))
    assert "n as listed. Bands: ± standard error of the mean" in text
    assert "Incomplete: Relational match-to-sample, m = 95, ESBN (baseline) (2 of 3 trained, 1 missing)." in text


def test_curves_averages_neighbours_late_in_training(frame: pd.DataFrame) -> None:
    rows = pd.DataFrame(curve("rmts-95-baseline-0", [0.0, 1.0] * 5_000))
    xy_U2 = points(draw_curves(frame, rows), "incomplete")
    assert xy_U2[:10, 1].tolist() == [0, 100] * 5  # every measurement up to update 90
    assert np.diff(np.log10(xy_U2[100:, 0])) == pytest.approx(1 / 25, rel=0.1)
    assert xy_U2[-5:, 1] == pytest.approx(50, abs=1)


def test_curves_labels_the_decades_it_reaches(frame: pd.DataFrame) -> None:
    panel = draw_curves(frame, pd.DataFrame(curve("rmts-95-baseline-0", [0.5] * 120))).axes[0]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0", "10", "100", "1k"]


def test_curves_refuses_trials_without_curves(frame: pd.DataFrame) -> None:
    with pytest.raises(AnalysisError, match="no completed trial has training curves"):
        draw_curves(frame, pd.DataFrame(curve("another", [0.5])))


def test_principal_axes_agree_with_singular_values() -> None:
    keys_NK = np.random.default_rng(0).standard_normal((40, 6)) * [5, 3, 1, 1, 1, 1] + 7
    axes = key_geometry.principal_axes(keys_NK.reshape(10, 4, 6))
    _, singular, vectors = np.linalg.svd(keys_NK - keys_NK.mean(axis=0))
    assert np.abs(vectors[:2] @ axes.axes) == pytest.approx(np.eye(2), abs=1e-9)
    assert axes.variance == pytest.approx(singular[:2] ** 2 / (singular**2).sum())


def test_principal_axes_put_the_first_key_on_the_negative_side() -> None:
    keys_PTK = np.random.default_rng(1).standard_normal((5, 3, 4))
    axes = key_geometry.principal_axes(keys_PTK)
    assert (axes.project(keys_PTK[0, 0]) < 0).all()


def test_trace_does_not_depend_on_the_order_of_rows(keys: pa.Table) -> None:
    shuffled = key_geometry.trace(keys.take(np.random.default_rng(0).permutation(len(keys))))
    for array, other in zip(key_geometry.trace(keys)[1:], shuffled[1:], strict=True):
        np.testing.assert_array_equal(array, other)


def test_trace_keeps_every_number_in_its_place(keys: pa.Table) -> None:
    trace = key_geometry.trace(keys)
    row = next(r for r in keys.to_pylist() if (r["split"], r["problem"], r["step"]) == ("test", 3, 5))
    p = np.flatnonzero(~trace.train)[3]
    assert trace.keys[p, 4].tolist() == row["key"]
    assert trace.reads[p, 3].tolist() == row["read"]
    assert trace.weights[p, 4, :4].tolist() == row["weights"]
    assert (trace.objects[p, 4], trace.gates[p, 4]) == (row["object"], row["gate"])


def test_trace_skips_the_weight_of_a_default_entry(keys: pa.Table) -> None:
    default = pa.Table.from_pylist(key_rows("net", default=True), schema=TABLES["keys"])
    np.testing.assert_array_equal(key_geometry.trace(default).weights, key_geometry.trace(keys).weights)


def test_trace_refuses_two_trials(keys: pa.Table) -> None:
    other = pa.Table.from_pylist(key_rows("other"), schema=TABLES["keys"])
    with pytest.raises(AnalysisError, match="2 trials"):
        key_geometry.trace(pa.concat_tables([keys, other]))


def test_trace_refuses_a_missing_step(keys: pa.Table) -> None:
    with pytest.raises(AnalysisError, match="net lack steps"):
        key_geometry.trace(pa.concat_tables([keys[:4], keys[5:]]))


def test_reads_are_those_of_the_first_reappearance(keys: pa.Table) -> None:
    """A slow second way, problem by problem over Python rows; the store has training problems first, traces test."""
    rows = keys.to_pylist()
    problems = [rows[i : i + 9] for i in range(0, len(rows), 9)]
    expected = []
    for role in (0, 1, 2):
        for problem in sorted(problems, key=lambda p: p[0]["split"]):
            again = next(row for row in problem[3:] if row["object"] == problem[role]["object"])
            expected.append((again["read"], problem[role]["key"], again["weights"][role], again["split"] == "train"))
    reads = key_geometry.reads(key_geometry.trace(keys))
    for array, column in zip(
        (reads.read, reads.key, reads.weight, reads.train), zip(*expected, strict=True), strict=True
    ):
        np.testing.assert_array_equal(array, np.array(column, array.dtype))


def test_outside_counts_points_beyond_either_axis() -> None:
    low, high = key_geometry.panel_limits(np.array([[0.0, 0.0], [10.0, 20.0]]))
    assert (low.tolist(), high.tolist()) == ([-0.5, -1.0], [10.5, 21.0])
    beside = np.array([[5, 5], [10.4, 20.9], [10.6, 5], [5, -1.1], [-9, 99]])
    assert key_geometry.outside(beside, low, high).tolist() == [False, False, True, True, True]


def test_key_summary_reports_the_numbers_beside_the_picture(keys: pa.Table) -> None:
    summary = key_geometry.key_summary(keys)
    assert summary["problems"].tolist() == [6, 20] and summary["reads"].tolist() == [18, 60]
    assert summary["distance_median"].to_numpy() == pytest.approx(0.01, rel=1e-3)  # reads are 0.99 of their keys
    assert summary[["gate_min", "gate_max"]].to_numpy() == pytest.approx(0.99)
    assert summary["weight_median"].between(0.9, 0.94).all()
    assert summary["k3_sd_1"].between(0.05, 0.15).all()  # written with standard deviation 0.1


def test_keys_draws_written_and_read_keys(keys: pa.Table) -> None:
    a, b, c = draw_keys(keys, TASK, 2).axes
    trace = key_geometry.trace(keys)
    axes = key_geometry.principal_axes(trace.keys)
    for t in range(1, 10):
        assert scatter(a, f"k{t}") == pytest.approx(axes.project(trace.keys[trace.train, t - 1]))
    assert scatter(b, "test2") == pytest.approx(axes.project(trace.keys[~trace.train, 1]))
    assert [len(scatter(c, name)) for name in ("train3", "test3")] == [6, 20]


def test_keys_shows_and_counts_reads_outside_panel_b(keys: pa.Table) -> None:
    rows = keys.to_pylist()
    for row in rows[:9]:  # first training problem: its three reads go far away
        if row["read"] is not None:
            row["read"] = [500.0] * 8
    _, b, c = draw_keys(pa.Table.from_pylist(rows, schema=TABLES["keys"]), TASK, 2).axes
    (text,) = [text.get_text() for text in c.texts if text.get_gid() == "outside"]
    assert text.startswith("3 of 78 reads")
    drawn_R2 = np.concatenate([scatter(c, f"{split}{role}") for split in ("train", "test") for role in (1, 2, 3)])
    low, high = np.array([c.get_xlim(), c.get_ylim()]).T
    assert ((drawn_R2 > low) & (drawn_R2 < high)).all()
    (frame,) = [patch for patch in c.patches if patch.get_gid() == "limits"]
    assert frame.get_extents().transformed(c.transData.inverted()).intervalx == pytest.approx(b.get_xlim())


def test_keys_names_the_share_of_variance(keys: pa.Table) -> None:
    share = key_geometry.principal_axes(key_geometry.trace(keys).keys).variance
    assert draw_keys(keys, TASK, 2).axes[0].get_xlabel() == f"Component 1 ({100 * share[0]:.1f} %)"


def test_objects_places_images_by_number() -> None:
    (panel,) = draw_objects(pd.DataFrame(object_rows("h")[::-1])).axes
    sheet = np.asarray(panel.images[0].get_array())
    assert [int(sheet[36 * (i // 4) + 20, 36 * (i % 4) + 20]) for i in range(12)] == [20 * i for i in range(12)]


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two networks with curves and keys; no test writes there."""
    planned = [trial(TASK, 95, arm, 3, 0.9, images_hash="0123456789") for arm in ("baseline", "confidence=off")]
    results = write_study(tmp_path_factory.mktemp("results"), "s", planned, keys=True)
    store = Store(results)
    for row in planned:
        store.write("curves", row["trial_id"], curve(row["trial_id"], [0.25, 0.5, 1.0]))
        store.write("keys", row["trial_id"], key_rows(row["trial_id"]))
    store.write("objects", "0123456789", object_rows("0123456789"))
    return results


@pytest.fixture(scope="module")
def saved(full_store: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All figures of it, which take 8 s."""
    return save_all(full_store, "s", tmp_path_factory.mktemp("figures") / "new" / "out")


def test_save_all_writes_every_figure_in_every_format(saved: list[Path]) -> None:
    assert sorted(path.name for path in saved if path.suffix != ".csv") == sorted(
        f"{name}.{kind}"
        for name in (
            "accuracy",
            "curves",
            f"keys_{TASK}_m95_seed3",
            f"keys_{TASK}_m95_seed3_confidence-off",
            "key_similarity",
            "objects",
        )
        for kind in ("png", "svg", "pdf")
    )
    assert all(path.stat().st_size > 1000 for path in saved if path.suffix != ".csv")
    assert {path.stem for path in saved if path.suffix == ".csv"} == {p.stem for p in saved if p.stem[:5] == "keys_"}


@pytest.mark.slow
def test_save_all_writes_the_same_bytes_again_prints_nothing_and_leaves_settings_alone(
    full_store: str, saved: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(matplotlib.rcParams)
    again = save_all(full_store, "s", tmp_path / "out")
    assert capsys.readouterr() == ("", "")
    assert dict(matplotlib.rcParams) == before
    assert [path.name for path in again] == [path.name for path in saved]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in saved]


def test_save_all_draws_what_there_is_when_nothing_is_trained(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [trial("rmts", 95, "baseline", 0, 0.9)], [])
    assert [path.name for path in save_all(results, "s", tmp_path / "out")] == [
        "accuracy.png",
        "accuracy.svg",
        "accuracy.pdf",
    ]


def test_save_all_refuses_a_place_it_cannot_write(full_store: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match="file/out' cannot be written"):
        save_all(full_store, "s", tmp_path / "file" / "out")
