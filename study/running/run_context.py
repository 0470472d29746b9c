"""What the driver tells its workers. The driver imports no torch, which takes longer to load than the rest of it."""

from dataclasses import dataclass
from typing import Any

from esbn_core.objects import Objects
from study.store.store import Store

MEMORY_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Environment of a worker process: glibc keeps freed blocks. Otherwise gradients of some MB would be mapped and
page-faulted again at every update."""


@dataclass(frozen=True)
class RunContext:
    """What every pack of a run shares."""

    results: str
    lease: str
    """Name of the run's lease, which every worker must find in the store whenever it writes."""
    objects: Objects
    provenance: dict[str, Any]
    device: str
    threads: int
    checkpoint_seconds: float

    def shared(self) -> dict[str, Any]:
        """Returns the columns that all trials of the run have in common."""
        return {"images_hash": self.objects.digest(), "threads": self.threads, **self.provenance}


def sees_store(store: Store, lease: str) -> bool:
    """Returns whether this machine sees the store of the run, and not a folder of the same name on its own disk."""
    return not store.local or store.has_lease(lease)


def unshared_store_message(results: str, host: str) -> str:
    """Says what to do about a machine that does not see the store."""
    return (
        f"results={results!r} on {host} is not the folder that this run was started with; --results must be storage "
        "that every machine of the cluster sees, such as s3://bucket/folder or a folder mounted on all of them"
    )
