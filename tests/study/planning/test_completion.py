"""What the store holds of a plan: trials that are complete, and packs that have begun, whatever else lies there."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from small_study import SMALL_STUDY

from esbn_core.position import Position
from esbn_core.vocabulary import curve_points
from study.monitoring.status import summary
from study.planning import rows
from study.planning.completion import begun_packs, completion
from study.planning.packs import Pack, pack
from study.planning.plan import PlannedTrial, plan
from study.store.store import Store


@pytest.fixture
def trials() -> list[PlannedTrial]:
    return plan(SMALL_STUDY)


def complete(disk: Store, trials: list[PlannedTrial]) -> None:
    for trial in trials:
        disk.write("trials", trial.trial_id, [{**rows.settings(trial), "status": "completed", "test_accuracy": 0.5}])
        disk.write("curves", trial.trial_id, [{"trial_id": trial.trial_id, "update": 0}])


def position(ids: list[str], update: int) -> Position:
    course = [0.5] * len(ids)
    return Position(ids, update, [(u, course, course) for u in curve_points(update)])


def header(position: str) -> bytes:
    return save({"w": torch.ones(1)}, metadata={"position": position})


def begin(disk: Store, trials: list[PlannedTrial], update: int) -> str:
    """Writes the checkpoint of a pack, as far as its header goes; gives the pack's name."""
    pack_id = Pack(tuple(trials)).pack_id
    disk.save_checkpoint(pack_id, header(position([t.trial_id for t in trials], update).text()))
    return pack_id


def test_completion_sorts_trials_by_what_the_store_has(disk: Store, trials: list[PlannedTrial]) -> None:
    complete(disk, trials[:3])
    rows.write_failure(disk, trials[3], "loss became nan")
    now = completion(trials, disk)
    assert (now.completed, now.failed, now.missing) == (trials[:3], trials[3:4], trials[4:])


def test_completion_counts_a_trial_without_its_curve_as_missing(disk: Store, trials: list[PlannedTrial]) -> None:
    complete(disk, trials[:1])
    Path(disk.root, "curves", f"{trials[0].trial_id}.parquet").unlink()
    assert completion(trials[:1], disk).missing == trials[:1]


def test_begun_packs_never_overlap_and_the_furthest_goes_on(disk: Store, trials: list[PlannedTrial]) -> None:
    begin(disk, trials[:3], 5)
    begin(disk, trials[:4], 7)
    assert begun_packs(trials, [t.trial_id for t in trials], disk) == [trials[:4]]


def test_begun_packs_hold_no_trial_that_is_not_to_be_trained(disk: Store, trials: list[PlannedTrial]) -> None:
    begin(disk, trials[:3], 5)
    assert begun_packs(trials, [trials[0].trial_id], disk) == []
    complete(disk, trials[1:3])
    assert begun_packs(trials, [trials[0].trial_id], disk) == [trials[:3]]


def test_begun_packs_go_on_as_they_were(disk: Store, trials: list[PlannedTrial]) -> None:
    begin(disk, [trials[1], trials[0]], 5)
    begin(disk, plan(SMALL_STUDY, seeds=6)[5:6], 5)  # of a seed that is not planned
    todo = {t.trial_id for t in trials}
    found = begun_packs(trials, todo, disk)
    assert found == [[trials[1], trials[0]]]
    packs = pack(trials, todo, n_slots=2, largest=4, begun=found)
    assert sorted(t.trial_id for p in packs for t in p.trials) == sorted(todo)


def test_begun_packs_leave_out_copies_and_what_no_run_can_have_reached(disk: Store, trials: list[PlannedTrial]) -> None:
    pack_id = begin(disk, trials[:2], trials[0].config.train.updates + 1)
    begin(disk, trials[2:4], trials[0].config.train.updates)
    folder = Path(disk.root, "checkpoints")
    copy = header(position([trials[4].trial_id], 5).text())
    (folder / f"{pack_id} (conflicted copy).safetensors").write_bytes(copy)
    assert begun_packs(trials, [t.trial_id for t in trials], disk) == [trials[2:4]]


def test_begun_packs_are_none_where_the_empty_folder_is_missing(disk: Store, trials: list[PlannedTrial]) -> None:
    Path(disk.root, "checkpoints").rmdir()
    assert begun_packs(trials, [t.trial_id for t in trials], disk) == []
    begin(disk, trials[:1], 5)
    assert begun_packs(trials, [t.trial_id for t in trials], disk) == [trials[:1]]


def odd_header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


GOOD = json.loads(position(["a", "b"], 5).text())
ODD: dict[str, bytes | Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "broken link": lambda path: path.symlink_to("nowhere"),
    "empty": b"",
    "text": b"half a checkpoint",
    "huge header": (2**63).to_bytes(8, "little") + b"{}",
    "header beyond the end": (1_000).to_bytes(8, "little") + b"{}",
    "header is nested": odd_header(b"[" * 100_000),
    "header is a list": odd_header(b"[]"),
    "header has no metadata": save({"w": torch.ones(1)}),
    "metadata is null": odd_header(b'{"__metadata__": null}'),
    "position is a number": odd_header(b'{"__metadata__": {"position": 7}}'),
    "position is nested": header("[" * 100_000),
    "position is a list": header("[]"),
    "position is null": header("null"),
    "update far beyond its curve": header(json.dumps({**GOOD, "update": 10**9})),
    **{f"no {name}": header(json.dumps({k: v for k, v in GOOD.items() if k != name})) for name in GOOD},
    **{f"{name} is {odd}": header(json.dumps({**GOOD, name: odd})) for name in GOOD for odd in (None, "x", -1, [[]])},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_odd_file_leaves_every_begun_pack_alone(
    disk: Store, trials: list[PlannedTrial], odd: bytes | Callable[[Path], None]
) -> None:
    rows.write_plan(disk, SMALL_STUDY, trials)
    path = Path(disk.root, "checkpoints", "odd.safetensors")
    if isinstance(odd, bytes):
        path.write_bytes(odd)
    else:
        odd(path)
    begin(disk, trials[:3], 5)
    assert disk.checkpoint_position("odd") is None
    assert begun_packs(trials, [t.trial_id for t in trials], disk) == [trials[:3]]
    begun = [line for line in summary(disk).renderables if str(line).startswith("begun: ")]
    assert begun == [f"begun: same_different m=95 baseline seeds 0, 1, 2: update 5/{trials[0].config.train.updates}"]
