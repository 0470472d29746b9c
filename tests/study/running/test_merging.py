"""Merging of files as a run goes on: what has ended is merged, whatever else is going on; no Ray is started."""

from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from esbn_core.objects import glyphs
from study.planning import rows
from study.planning.completion import completion
from study.planning.declarations import find_study
from study.planning.packs import pack
from study.planning.study_plan import plan_study
from study.running import launch
from study.running.progress import Progress
from study.running.run_context import RunContext
from study.store.store import Store


class Ended:
    """What Tune shows of a trial of its own that has ended."""

    def __init__(self, index: int):
        self.config, self.trial_id = {"index": index}, str(index)


@pytest.mark.parametrize("mergeable", [True, False])
def test_run_merges_the_files_of_ended_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mergeable: bool) -> None:
    monkeypatch.setattr(launch, "MERGED_TOGETHER", 3)
    trials = plan_study(find_study("quickstart")).trials[:5]
    store = Store(str(tmp_path / "results"))
    store.prepare()
    for trial in trials:
        store.write("curves", trial.trial_id, [{"trial_id": trial.trial_id, "update": 0}])
        result = {"status": "completed", "test_accuracy": 0.5}
        store.write("trials", trial.trial_id, [{**rows.settings(trial), **result}])
    if not mergeable:  # a later version of this project has written into the store
        path = tmp_path / "results" / "trials" / f"{trials[0].trial_id}.parquet"
        pq.write_table(pq.read_table(path).append_column("mood", pa.array(["good"])), path)
    packs = pack(trials, {trial.trial_id for trial in trials}, n_slots=5, largest=1)
    context = RunContext(store.uri, "lease", glyphs(), {}, "cpu", 1, 60.0)
    console = Console(quiet=True)
    retries = launch._PackRetries(packs, context, store, Progress(packs, console))
    for index in range(len(packs)):
        ended = cast(TuneTrial, Ended(index))
        retries.on_trial_result(0, [], ended, {"update": 1, "test_accuracy": [0.5], "failed": [None]})
        retries.on_trial_complete(0, [], ended)
    assert len(store.files("trials").single) == (2 if mergeable else 5)
    assert len(completion(trials, store).completed) == 5
