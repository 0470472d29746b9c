"""Resources of a run: the cluster, and the share of each pack."""

import math
import os
from dataclasses import dataclass
from typing import Literal

from esbn_core.errors import ConfigError

PACK_ON_CPU, PACK_ON_GPU = 4, 10  # a CPU gains nothing from larger packs; a GPU is idle without them
MOST_THREADS = 4  # per pack by default; more gain nothing


def usable_cpus() -> int:
    """Returns the number of CPUs this process may use, which `taskset` or a batch system may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Resources:
    """Resources that a run may use.

    Attributes:
        address: address of a Ray cluster; None starts Ray on this machine.
        gpus_per_pack: GPUs per pack, possibly a fraction; None: one if Ray has any.
        threads: CPU threads per pack; None: enough to leave no core idle, at most `MOST_THREADS`.
        largest_pack: largest number of networks trained together; None: by device; auto: measured first.
        checkpoint_seconds: time between two checkpoints of a pack.
    """

    address: str | None = None
    gpus_per_pack: float | None = None
    threads: int | None = None
    largest_pack: int | Literal["auto"] | None = None
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("gpus_per_pack", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name}={value} must be a number of at least 0")
