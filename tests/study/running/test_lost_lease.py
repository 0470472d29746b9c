"""A run whose lease another has taken stops before it writes; a pack whose checkpoint is odd starts at 0."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import Run, wait_for
from safetensors.torch import load, save

from esbn_core.objects import glyphs
from study.planning.declarations import find_study
from study.planning.packs import Pack
from study.planning.plan import plan
from study.running.run_context import RunContext
from study.running.worker import run_pack
from study.store.errors import StoreError
from study.store.provenance import provenance
from study.store.store import Store

STUDY = """
name: lost
question: Who writes?
grids:
  - arms: [{{updates: {updates}, n_test: 100, encoder: random, hidden_size: 32}}]
    conditions: {{same_different: [95]}}
    seeds: 2
"""


@pytest.fixture
def store(store: Store) -> Store:
    store.write_lease("own", "")
    return store


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.format(updates=30))
    return Pack(tuple(plan(find_study(str(study)))))


def train(store: Store, pack: Pack, report: Callable[[dict[str, Any]], None], save_seconds: float) -> None:
    run_pack(RunContext(store.uri, "own", glyphs(), provenance(), "cpu", 1, save_seconds), pack, report)


@pytest.mark.parametrize("save_seconds", [0.0, 1e6], ids=["before a checkpoint", "before the rows"])
def test_worker_whose_run_lost_its_lease_writes_nothing(store: Store, pack: Pack, save_seconds: float) -> None:
    with pytest.raises(StoreError, match="another run has taken over its trials .* this run writes nothing more"):
        train(store, pack, lambda report: store.drop_lease("own"), save_seconds)
    assert store.checkpoints() == set()
    assert {table for table in ("trials", "curves", "keys") if store.names(table)} == set()


def test_worker_does_not_begin_without_the_lease(store: Store, pack: Pack) -> None:
    store.drop_lease("own")
    with pytest.raises(StoreError, match="another run has taken over"):
        train(store, pack, print, 0)


def broadcast(data: bytes) -> bytes:
    """The moments of the first network alone, which torch would use for both."""
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    tensors = {name: x if name.startswith("parameter/") else x[:1].clone() for name, x in load(data).items()}
    return save(tensors, metadata=metadata)


ODD: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda data: data[: len(data) // 2],
    "random": lambda data: data[::-1],
    "nested": lambda data: (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "moments of one network": broadcast,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_pack_with_an_odd_checkpoint_is_trained_from_the_start(
    tmp_path: Path, pack: Pack, odd: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []
    save_checkpoint = Store.save_checkpoint

    def keep(store: Store, pack_id: str, data: bytes) -> None:
        kept.append(data)
        save_checkpoint(store, pack_id, data)

    monkeypatch.setattr(Store, "save_checkpoint", keep)
    stores = [Store(str(tmp_path / name)) for name in ("unbroken", "odd")]
    for store in stores:
        store.prepare()
        store.write_lease("own", "")
    train(stores[0], pack, print, 0)
    stores[1].save_checkpoint(pack.pack_id, odd(kept[-1]))
    train(stores[1], pack, print, 1e6)
    columns = ["trial_id", "test_accuracy", "test_loss", "resumed"]
    unbroken, trained = (store.read("trials", columns).sort_by("trial_id") for store in stores)
    assert trained.equals(unbroken)
    assert trained["resumed"].to_pylist() == [0, 0]
    assert stores[1].checkpoints() == set()


@pytest.mark.slow
def test_run_that_lost_its_lease_stops(tmp_path: Path) -> None:
    run = Run(tmp_path, STUDY.format(updates=20_000))
    process = run.start("run", "study.yaml", "--checkpoint-seconds", "0.5")
    wait_for(lambda: len(run.store.checkpoints()) > 0, process)
    (name,) = run.store.leases()
    run.store.drop_lease(name)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another run has taken over its trials" in output and "Traceback" not in output
    assert run.store.leases() == {} and run.store.names("trials") == set()
    assert run.store.checkpoints()
