"""Status of all studies and searches, computed from the store alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table

from esbn_core.printable import printable
from study.store.store import Store

LATEST = 5  # results shown


def summary(store: Store) -> Group:
    """Lays out studies, searches, packs with a checkpoint, and the latest results, for rich."""
    columns = ["trial_id", "status", "task", "withheld", "arm", "seed", "test_accuracy", "finished_at"]
    ended = {row["trial_id"]: row for row in store.read("trials", columns).to_pylist()}
    studies: dict[str, dict[str, dict[str, Any]]] = {}
    wanted = ["study", "rehearsal", "trial_id", "task", "withheld", "arm", "seed", "updates"]
    for row in store.read("plans", wanted).to_pylist():
        name = f"{row['study']} (rehearsal)" if row["rehearsal"] else row["study"]
        studies.setdefault(name, {})[row["trial_id"]] = row
    searches = _searches(store)
    if not studies:
        none = f"{store.uri} holds no study yet; `esbn run quickstart` starts one"
        return Group(none, *(("", searches) if searches.row_count else ()))
    planned = {trial_id: row for trials in studies.values() for trial_id, row in trials.items()}
    tables = [_studies(studies, ended), "", *([searches, ""] if searches.row_count else [])]
    return Group(*tables, *_own_images(store), *_checkpoints(store, planned), *_latest(ended))


def _studies(studies: dict[str, dict[str, dict[str, Any]]], ended: dict[str, dict[str, Any]]) -> Table:
    table = Table("study", "planned", "completed", "failed", "missing", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for study, trials in studies.items():
        states = [ended[trial_id]["status"] if trial_id in ended else "missing" for trial_id in trials]
        table.add_row(
            printable(study), str(len(trials)), *(str(states.count(s)) for s in ("completed", "failed", "missing"))
        )
    return table


def _searches(store: Store) -> Table:
    """Makes a row per search. Suggestions that have not ended are running, or wait for the search to be run again."""
    table = Table("search", "wanted", "completed", "pruned", "failed", "begun", "best validation accuracy", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = store.read("suggestions", ["search", "status", "accuracy"]).to_pylist()
    for about in store.read("searches", ["search", "suggestions"]).to_pylist():
        mine = [row for row in rows if row["search"] == about["search"]]
        states = [row["status"] for row in mine]
        counts = (str(states.count(state)) for state in ("completed", "pruned", "failed", "running"))
        best = max((row["accuracy"] for row in mine if row["status"] == "completed" and row["accuracy"]), default=None)
        table.add_row(
            printable(about["search"]),
            str(about["suggestions"]),
            *counts,
            "-" if best is None else f"{100 * best:.1f} %",
        )
    return table


def _own_images(store: Store) -> list[str]:
    """Says which folders of images the arms name by a hash."""
    sets = store.read("objects", ["images_hash", "folder"], rows=pc.field("folder").is_valid()).to_pylist()
    named = dict.fromkeys((row["images_hash"][:8], row["folder"]) for row in sets)
    return [printable(f"images={digest}: the folder {folder}") for digest, folder in named]


def _checkpoints(store: Store, planned: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for pack_id in sorted(store.checkpoints()):
        position = store.checkpoint_position(pack_id)
        rows = [planned[trial_id] for trial_id in position.trial_ids if trial_id in planned] if position else []
        if position and rows:
            seeds = ", ".join(str(row["seed"]) for row in rows)
            lines.append(f"begun: {_words(rows[0])} seeds {seeds}: update {position.update}/{rows[0]['updates']}")
    return lines


def _latest(ended: dict[str, dict[str, Any]]) -> list[str]:
    known = [row for row in ended.values() if row["finished_at"]]
    rows = sorted(known, key=lambda row: row["finished_at"], reverse=True)[:LATEST]
    return [
        f"{row['finished_at']:%Y-%m-%d %H:%M} UTC: {_words(row)} seed {row['seed']}: "
        + (f"test accuracy {100 * row['test_accuracy']:.1f} %" if row["status"] == "completed" else "failed")
        for row in rows
    ]


def _words(row: dict[str, Any]) -> str:
    return printable(f"{row['task']} m={row['withheld']} {row['arm']}")


def timing(store: Store) -> Table:
    """Sums up per host the seconds from each worker's first pack to the end of its last, and the share trained."""
    columns = ["worker", "host", "started_at", "finished_at", "wall_seconds", "resumed"]
    hosts: dict[str, list[tuple[float, float]]] = {}
    for rows in by_worker(store.read("trials", columns).to_pylist()):
        if any(row["resumed"] for row in rows):
            continue  # its packs' seconds include those of earlier workers
        trained = {row["started_at"]: row["wall_seconds"] for row in rows}  # a pack's trials share both
        hosts.setdefault(rows[0]["host"], []).append((busy_seconds(rows), sum(trained.values())))
    table = Table("host", "workers", "worker seconds", "training and evaluation", "share", box=None)
    for host, times in hosts.items():
        span, trained = (sum(column) for column in zip(*times, strict=True))
        table.add_row(host, str(len(times)), f"{span:.1f}", f"{trained:.1f}", f"{100 * trained / span:.1f} %")
    return table


def by_worker(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Groups rows of trials by the process that trained them; failed trials without one are left out."""
    workers: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["worker"] is not None:
            workers.setdefault(row["worker"], []).append(row)
    return list(workers.values())


def busy_seconds(rows: Sequence[dict[str, Any]]) -> float:
    """Returns seconds from the start of a worker's first pack to the end of its last, including the time between."""
    span = max(row["finished_at"] for row in rows) - min(row["started_at"] for row in rows)
    return span.total_seconds()
