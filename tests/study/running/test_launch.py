"""Real runs on a local Ray: what is trained, and what is not trained again."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from click.testing import CliRunner
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console
from runs import Run

from esbn_core.errors import ConfigError
from esbn_core.objects import glyphs
from study.cli.main import main
from study.planning.declarations import find_study
from study.planning.packs import Pack
from study.planning.plan import plan
from study.running.launch import _PackRetries
from study.running.progress import Progress
from study.running.ray_session import Slots, find_slots
from study.running.resources import Resources
from study.running.retries import RETRIES
from study.running.run_context import RunContext
from study.running.worker import run_pack

pytestmark = pytest.mark.slow

TINY = """
name: tiny
question: Does it run at all?
grids:
  - arms: [{updates: 5, n_test: 100, encoder: mlp}]
    conditions: {same_different: [95, 98]}
    seeds: 1
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """The study once it is trained, and what the run said; no test writes there."""
    run = Run(tmp_path_factory.mktemp("trained"), TINY)
    code, output = run.finish("run", "study.yaml")
    assert code == 0, output
    return run, output


@pytest.fixture
def tiny(trained: tuple[Run, str], tmp_path: Path) -> Run:
    """A copy of the trained study, for a test to do with as it likes."""
    run = Run(tmp_path, TINY)
    shutil.copytree(trained[0].store.root, run.store.root)
    return run


def test_run_trains_what_is_planned_and_says_so(trained: tuple[Run, str]) -> None:
    run, output = trained
    assert "2 trials: 2 completed, 0 failed, 0 missing" in output
    assert set(run.rows()) == {trial.trial_id for trial in run.trials}
    for row in run.rows().values():
        assert row["images_hash"] == glyphs().digest()
        assert row["n_test"] == 100
        assert row["threads"] == 1
        assert len(row["withheld_objects"]) == row["withheld"]
        for column in ("host", "device", "torch_version", "ray_version", "started_at", "finished_at", "wall_seconds"):
            assert row[column]
    assert run.store.read("objects").num_rows == 100


def test_run_starts_nothing_when_all_is_there(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tiny.rows()
    monkeypatch.setattr("ray.init", None)
    done = CliRunner().invoke(main, ["run", str(tiny.study), "--results", tiny.store.uri])
    assert done.exit_code == 0, done.output
    summary = "2 trials: 2 completed, 0 failed, 0 missing; nothing to train"
    assert done.output == f"{summary}. Results are in {tiny.store.uri}\n"
    assert tiny.rows() == before


def test_run_trains_only_the_new_seed_when_seeds_are_added_though_a_checkpoint_is_torn(tiny: Run) -> None:
    before = tiny.rows()
    extended = plan(find_study(str(tiny.study)), seeds=2)
    (trial,) = (t for t in extended if t.config.seed == 1 and t.config.task.withheld == 95)
    tiny.store.save_checkpoint(Pack((trial,)).pack_id, b"half a checkpoint")
    code, output = tiny.finish("run", "study.yaml", "--seeds", "2", "--withheld", "95")
    assert code == 0, output
    after = tiny.rows()
    assert {trial_id: after[trial_id] for trial_id in before} == before
    (new,) = (row for trial_id, row in after.items() if trial_id not in before)
    assert (new["trial_id"], new["resumed"]) == (trial.trial_id, 0)
    assert tiny.store.checkpoints() == set()


def test_failed_pack_leaves_completed_rows_alone(tiny: Run) -> None:
    before = tiny.rows()
    done = next(t for t in tiny.trials if t.trial_id in before)
    job = RunContext(tiny.store.uri, "no-lease", glyphs(), {}, "cpu", 1, 60.0)
    callback = _PackRetries([Pack((done,))], job, tiny.store, Progress([Pack((done,))], Console(quiet=True)))
    trial = cast(TuneTrial, SimpleNamespace(config={"index": 0}, trial_id="0", num_failures=1))
    for _ in range(RETRIES + 1):
        callback.on_trial_result(0, [], trial, {"error": "OSError: disk full", "of_store": False})
        callback.on_trial_error(0, [], trial)
    assert callback.left() == [] and tiny.rows() == before


def test_pack_is_not_trained_again_when_a_lost_worker_has_ended_it(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tiny.rows()
    done = next(t for t in tiny.trials if t.trial_id in before)
    monkeypatch.setattr("study.running.worker.train_in_store", None)
    tiny.store.write_lease("held", "")
    tiny.store.save_checkpoint(Pack((done,)).pack_id, b"written by a worker that was late")
    reports: list[dict[str, object]] = []
    run_pack(RunContext(tiny.store.uri, "held", glyphs(), {}, "cpu", 1, 60.0), Pack((done,)), reports.append)
    tiny.store.drop_lease("held")
    accuracy = before[done.trial_id]["test_accuracy"]
    assert reports == [{"update": 5, "test_accuracy": [accuracy], "failed": [None]}]
    assert tiny.rows() == before
    assert tiny.store.checkpoints() == set()


def test_run_refuses_more_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(ConfigError, match="^threads=3 is more than this machine's 2 CPUs$"):
        find_slots(Resources(threads=3), n_packs=4)
    assert find_slots(Resources(threads=2), n_packs=4) == Slots(threads=2, gpus=0.0, n=1)


def test_run_measures_how_large_packs_should_be(tiny: Run) -> None:
    code, output = tiny.finish("run", "study.yaml", "--seeds", "5", "--withheld", "98", "--pack", "auto")
    assert code == 0, output
    assert "5 trials: 5 completed" in output
