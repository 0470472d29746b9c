"""Context that the driver passes to its workers. Imports no torch, which would slow the start of the driver."""

from dataclasses import dataclass
from typing import Any

from esbn_core.objects import Objects
from study.store.store import Store

MEMORY_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Environment of a worker process, which makes glibc keep freed blocks. Otherwise gradients of several MB would be
mapped and page-faulted again at each update."""


@dataclass(frozen=True)
class RunContext:
    """Context shared by all packs of a run."""

    results: str
    lease: str
    """Name of the run's lease, which a worker must find in the store whenever it writes."""
    objects: Objects
    provenance: dict[str, Any]
    device: str
    threads: int
    checkpoint_seconds: float

    def shared(self) -> dict[str, Any]:
        """Returns the columns shared by all trials of the run."""
        return {"images_hash": self.objects.digest(), "threads": self.threads, **self.provenance}


def sees_store(store: Store, lease: str) -> bool:
    """Returns whether this machine sees the store of the run, rather than a local folder of the same name."""
    return not store.local or store.has_lease(lease)


def unshared_store_message(results: str, host: str) -> str:
    """Returns the error message for a machine that does not see the store."""
    return (
        f"results={results!r} on {host} is not the folder that this run started with; --results must be storage "
        "that every machine of the cluster sees, such as s3://bucket/folder or a folder mounted on all of them"
    )
