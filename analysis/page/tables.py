"""Tables that only the report page shows: coverage, trials, protocol, provenance and cost.

All take rows of `analysis.load_study`, unless stated otherwise.
"""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.accuracy import VariantAccuracy
from analysis.tables.printed import MISSING, PrintedTable

_PROVENANCE = {  # provenance columns of a trial -> headings
    "commit": "commit",
    "dirty": "checkout",
    "python_version": "Python",
    "torch_version": "torch",
    "numpy_version": "NumPy",
    "ray_version": "Ray",
    "host": "host",
    "device": "device",
    "threads": "threads",
}
_CHECKOUT = {True: "with uncommitted changes", False: "clean"}
_TIME = "%Y-%m-%d %H:%M"


def coverage(rows: Sequence[VariantAccuracy]) -> PrintedTable:
    """Counts the trials of each variant, from rows of `analysis.findings.accuracy.variant_accuracies`."""
    header = ("task", "m", "arm", "planned", "completed", "failed", "missing")
    lines = [[r.task, str(r.withheld), r.arm, *map(str, (r.planned, r.n, r.failed, r.missing))] for r in rows]
    return PrintedTable(header, lines, (False, True, False, *[True] * 4))


def failures(frame: pd.DataFrame) -> PrintedTable:
    """Lists the failed trials with their reasons."""
    failed = frame.loc[frame["status"] == "failed"]
    lines = [[_text(row.get(name)) for name in (*VARIANT, "seed", "failure")] for row in failed.to_dict("records")]
    return PrintedTable(("task", "m", "arm", "seed", "failure"), lines, (False, True, False, True, False))


def trials(frame: pd.DataFrame) -> PrintedTable:
    """Lists the planned trials; the page finds a variant by the first three columns."""
    header = ("task", "m", "arm", "seed", "status", "accuracy (%)", "updates", "seconds", "device", "host", "trial")
    lines = []
    for row in _timed(frame).to_dict("records"):
        accuracy = 100 * row["test_accuracy"] if row["status"] == "completed" else None
        numbers = [_text(accuracy, ".1f"), _text(row["updates"], ",.0f"), _text(row["seconds"], ",.1f")]
        where = [_text(row.get(name)) for name in ("device", "host", "trial_id")]
        lines.append([*(_text(row[name]) for name in (*VARIANT, "seed", "status")), *numbers, *where])
    return PrintedTable(header, lines, (False, True, False, True, False, True, True, True, False, False, False))


def protocol(completed: pd.DataFrame) -> list[PrintedTable]:
    """Lists the stored settings of the completed trials: those shared by all, then the differences by variant."""
    stored = completed.reindex(columns=[*VARIANT, "config"]).dropna(subset="config")
    settings: list[dict[str, Any]] = [json.loads(text) for text in stored["config"].tolist()]
    names = [name for name in dict.fromkeys(name for config in settings for name in sorted(config)) if name != "seed"]
    common = {name for name in names if len({json.dumps(config.get(name)) for config in settings}) == 1}
    own: dict[tuple[str, ...], None] = {}
    for cell, config in zip(stored[VARIANT].astype(str).to_numpy().tolist(), settings, strict=True):
        differing = (f"{name} = {_setting(config[name])}" for name in names if name in config and name not in common)
        own[(*cell, "; ".join(differing))] = None
    shared = [[name, _setting(settings[0][name])] for name in names if name in common]
    title, own_title = "The same in every completed trial", "Differences by variant"
    return [
        PrintedTable(("setting", "value"), shared, (False, False), title),
        PrintedTable(("task", "m", "arm", "settings"), list(own), (False, True, False, False), own_title),
    ]


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def provenance(completed: pd.DataFrame) -> PrintedTable:
    """Lists commits, versions, machines and devices, and the time span of their trials."""
    rows = completed.reindex(columns=[*_PROVENANCE, "started_at", "finished_at"])
    lines = []
    for _, together in rows.groupby([*_PROVENANCE], dropna=False, sort=False):
        first = together.iloc[0].to_dict()
        first |= {"dirty": _CHECKOUT.get(first["dirty"]), "threads": _text(first["threads"], "g")}
        span = (together["started_at"].min(), together["finished_at"].max())
        where = [_text(first[name]) for name in _PROVENANCE]
        lines.append([*where, *(_text(time, _TIME) for time in span), str(len(together))])
    header = (*_PROVENANCE.values(), "first started (UTC)", "last finished (UTC)", "trials")
    return PrintedTable(header, lines, (*[False] * 8, True, False, False, True))


def cost(frame: pd.DataFrame) -> PrintedTable:
    """Sums seconds of training and evaluation by device; on a CPU multiplied by the torch threads."""
    lines = []
    for device, rows in _timed(frame).dropna(subset=["seconds", "device"]).groupby("device", sort=False):
        kind = "CPU" if device == "cpu" else "GPU"
        seconds = (rows["seconds"] * rows["threads"].fillna(1) if kind == "CPU" else rows["seconds"]).sum()
        updates = rows["updates"].to_numpy(float).sum()
        speed = 1000 * rows["seconds"].to_numpy(float).sum() / updates if updates else None
        counts = [str(len(rows)), _text(updates, ",.0f"), _text(seconds, ",.0f"), _text(speed, ",.1f")]
        lines.append([str(device), kind, *counts])
    header = ("device", "kind", "networks", "updates", "seconds of CPU or GPU", "ms per update")
    return PrintedTable(header, lines, (False, False, True, True, True, True))


def cost_notes(frame: pd.DataFrame) -> list[str]:
    """Returns notes on the seconds of `cost`, and on trials without a time."""
    ended = frame.loc[frame["status"] != "missing"]
    untimed = sum(_timed(ended)["seconds"].isna().tolist())
    return [
        "Training and evaluation over all attempts, including failed trials; a pack's time is shared by its networks."
        " CPU: seconds times torch threads. Start-up and waiting are not counted.",
        *([f"Does not include {untimed} failed trials without a stored time."] if untimed else []),
    ]


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials with ``seconds``, their share of their pack's time."""
    needed = ["wall_seconds", "pack_size", "device", "threads", "updates"]
    timed = frame.reindex(columns=list(dict.fromkeys([*frame, *needed])))
    return timed.assign(seconds=timed["wall_seconds"].astype(float) / timed["pack_size"].astype(float))


def _text(value: Any, form: str = "") -> str:
    return MISSING if value is None or pd.isna(value) else format(value, form)
