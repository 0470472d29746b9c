"""Columns of the store's tables that are known before a trial is trained."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from ablations import Study
from esbn_core.objects import Objects
from study.planning.plan import PlannedTrial
from study.store.names import KEY
from study.store.store import Store


def identity(trial: PlannedTrial) -> dict[str, Any]:
    """Columns that identify the trial, shared by the tables `trials` and `plans`."""
    config = trial.config
    return {
        "trial_id": trial.trial_id,
        "task": config.task.name,
        "withheld": config.task.withheld,
        "arm": trial.arm,
        "seed": config.seed,
        "model": config.model.name,
        "encoder": config.encoder,
        "tcn": config.tcn,
        "confidence": getattr(config.model, "confidence", None),
        "rehearsal": config.rehearsal,
    }


def settings(trial: PlannedTrial) -> dict[str, Any]:
    """Columns of `trials` that follow from its config."""
    config = trial.config
    return {
        **identity(trial),
        "learning_rate": config.train.learning_rate,
        "batch_size": config.train.batch_size,
        "updates": config.train.updates,
        "precision": config.train.precision,
        "config": json.dumps(config.flat(), sort_keys=True),
        "n_objects": config.task.n_objects,
        "images": config.task.images,
    }


def planned(trial: PlannedTrial) -> dict[str, Any]:
    """Columns of `plans` except those of its study."""
    looks = {"looks": trial.looks.number, "seeds_per_look": trial.looks.seeds} if trial.looks else {}
    asked = {"updates": trial.config.train.updates, "keys": trial.keys, "search": trial.search}
    return {**identity(trial), **asked, **looks}


def write_failure(store: Store, trial: PlannedTrial, failure: str, **columns: Any) -> None:
    """Writes the row of a trial that ended without a result."""
    row = {**settings(trial), **columns, "status": "failed", "failure": failure, "finished_at": datetime.now(UTC)}
    store.write("trials", trial.trial_id, [row])


def write_plan(store: Store, study: Study, trials: Sequence[PlannedTrial]) -> None:
    """Writes what a study asks for, once; again if another plan has replaced it since."""
    identities = " ".join(f"{t.trial_id}{t.arm}{t.keys}{t.looks or ''}{t.search or ''}" for t in trials)
    about = {"study": study.name, "question": study.question, "source": study.source, "planned_at": datetime.now(UTC)}
    rows = [{**about, **planned(t)} for t in trials]
    name = f"{study.name}-{hashlib.sha256(identities.encode()).hexdigest()[:16]}"
    files = [other for other in store.names("plans") if other == name or other.startswith(f"{name}-")]
    counts = set(store.read("plans", [KEY], rows=pc.field("study") == study.name)[KEY].to_pylist()) if files else set()
    if not counts.issuperset(row[KEY] for row in rows):
        store.write("plans", f"{name}-{len(files)}" if files else name, rows)


def write_objects(store: Store, objects: Objects) -> None:
    """Writes the images; each set of images is stored once."""
    digest = objects.digest()
    if digest in store.names("objects"):
        return
    named = zip(objects.names, objects.pixels_NHW, strict=True)
    rows = [
        {
            "images_hash": digest,
            "object": i,
            "name": name,
            "folder": objects.folder,
            "pixels": pixels.ravel().tolist(),
        }
        for i, (name, pixels) in enumerate(named)
    ]
    store.write("objects", digest, rows)
