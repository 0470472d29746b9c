"""Steps shared by all worker processes: open the run's store, train from the last checkpoint, report progress."""

import functools
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from esbn_core.checkpoint import CheckpointError
from esbn_core.train import PackResult, Position, train
from study.planning.packs import Pack
from study.running.run_context import MEMORY_SETTINGS, RunContext, sees_store, unshared_store_message
from study.store.errors import StoreError
from study.store.store import Store

REPORT_SECONDS = 1.0


def fresh_process() -> ProcessPoolExecutor:
    """Starts a process like a worker's for measurements; it reads `MEMORY_SETTINGS` at startup."""
    os.environ.update(MEMORY_SETTINGS)
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def open_run_store(context: RunContext) -> Store:
    """Sets up the process for a pack and opens the store, which may be written only while the run holds its lease.

    Raises:
        StoreError: the store does not hold the lease of the run.
    """
    torch.set_num_threads(context.threads)
    torch.backends.cudnn.allow_tf32 = False  # its rounding is 1,000 times coarser, and two-step windows enlarge it
    store = Store(context.results)
    if not sees_store(store, context.lease):
        unshared = unshared_store_message(context.results, socket.gethostname())
        raise StoreError(f"{unshared} (or it is that folder, and another run has taken over)")
    store.lease = context.lease
    store.require_lease()
    return store


def train_in_store(
    context: RunContext, store: Store, pack: Pack, report: Callable[[dict[str, Any]], None], **rungs: Any
) -> PackResult:
    """Trains a pack with checkpoints in the store and reports progress."""
    reported = 0.0

    def on_progress(position: Position) -> None:
        nonlocal reported
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            report({"update": position.update, "accuracy": position.curve[-1][2]})

    train_pack = functools.partial(
        train,
        [trial.config for trial in pack.trials],
        context.objects.scale(),
        device=context.device,
        save=lambda data: store.save_checkpoint(pack.pack_id, data),
        save_seconds=context.checkpoint_seconds,
        on_progress=on_progress,
        **rungs,
    )
    try:
        return train_pack(resume=store.load_checkpoint(pack.pack_id))
    except CheckpointError:  # torn, or from other code: its updates are lost, the trials are not
        return train_pack()


def circumstances(context: RunContext, wall_seconds: float, resumed: int) -> dict[str, Any]:
    """Returns columns on where and for how long a pack was trained."""
    return {
        "wall_seconds": wall_seconds,
        "resumed": resumed,
        "device": torch.cuda.get_device_name() if context.device == "cuda" else "cpu",
        "host": socket.gethostname(),
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        **context.shared(),
    }


def free_memory(context: RunContext) -> None:
    if context.device == "cuda":
        torch.cuda.empty_cache()  # the process trains other packs after this one
