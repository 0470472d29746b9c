"""Networks with stored keys, reasons why others have none, and keys that agree by construction."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.data.results import Results, has_rows, load_keys
from analysis.data.trials import VARIANT
from analysis.errors import AnalysisError
from esbn_core.vocabulary import Cell
from study.store.location import Place

MODEL = "esbn"  # the only model that writes keys
SAME, ONE_NUMBER, FREE = "same", "one number", "nothing"
_NAMED = 4  # variants that a sentence names; the rest are counted


def stored_keys(results: Place, frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """Yields the networks with stored keys, one at a time: the trial's row and its rows of the keys table.

    Args:
        results: folder or URI of the result store.
        frame: rows of `analysis.load_study` or `load_cells`; yields the completed trials whose keys a study records.
    """
    if not has_rows(results, "keys"):
        return
    wanted = frame["keys"].eq(True) & (frame["status"] == "completed")
    for trial in frame.loc[wanted].to_dict("records"):
        if len(keys := load_keys(results, trial["trial_id"])):  # 0.2 GB
            yield trial, keys


def without_keys(results: Place, frame: pd.DataFrame) -> list[str]:
    """Returns a sentence per reason on the networks of a study that have no stored keys.

    Args:
        results, frame: as for `stored_keys`.
    """
    stored = Results(results).names("keys") if has_rows(results, "keys") else set()
    whys = frame.assign(why=[_lack(row, stored) or "" for row in frame.to_dict("records")])
    of_reason: dict[str, list[str]] = {}
    for _, here in whys.groupby(VARIANT, sort=False):
        task, withheld, arm = here[VARIANT].iloc[0].tolist()
        for why in filter(None, dict.fromkeys(here["why"])):
            seeds = [f"{seed:.0f}" for seed in here.loc[here["why"] == why, "seed"].dropna()]
            some = f" (seed{'s' * (len(seeds) > 1)} {', '.join(seeds)})"
            which = "" if set(here["why"]) == {why} or not seeds else some
            of_reason.setdefault(why, []).append(f"{Cell(task, int(withheld), arm)}{which}")
    return [f"No keys of {_listed(variants)}: {reason}." for reason, variants in of_reason.items()]


def _lack(row: Mapping[str, Any], stored: set[str]) -> str | None:
    """Returns why a network has no stored keys; None if it has some."""
    model = row.get("model")
    if isinstance(model, str) and model != MODEL:
        return f"only model={MODEL} writes keys"
    if row["keys"] is not True:
        return "no study has it in a grid with `keys: true`"
    if row["status"] != "completed":
        return f"the trial is {row['status']}"
    return None if row["trial_id"] in stored else "its keys are not recorded yet; run the study again"


def _listed(variants: list[str]) -> str:
    more = [f"{len(variants) - _NAMED} more variants"] if len(variants) > _NAMED + 1 else []
    return "; ".join([*variants[:_NAMED], *more] if more else variants)


def any_wanted(frame: pd.DataFrame) -> bool:
    """Returns whether a study records the keys of any of these trials."""
    return True in frame["keys"].tolist()


def refusal(frame: pd.DataFrame) -> AnalysisError:
    """Returns the error for a study without stored keys, with the remedy."""
    study = frame["study"].iloc[0]
    models = sorted(set(frame["model"].dropna()))
    if models and MODEL not in models:
        return AnalysisError(f"study={study!r} has no keys: only model={MODEL} writes keys, not {', '.join(models)}")
    if not any_wanted(frame):
        return AnalysisError(
            f"study={study!r} does not record keys; add `keys: true` to one of its grids and run it again, or use "
            "`esbn run keys`"
        )
    return AnalysisError(f"study={study!r} has no trial with stored keys yet; run it to record them")


def n_same(trial: Mapping[str, Any]) -> int:
    """Returns how many of the first steps write the same key in every problem by construction, for any weights.

    2: the controller gets information on an image only through its read, one step later, and the read at step 1 is 0.
    3 without confidence: the read at step 2 is the same, too, since a softmax over one entry is 1. 0 with a leak into
    controller or key, which shows them the image at once.

    Args:
        trial: a row of trials; settings missing from its config are as in the paper.
    """
    settings = _settings(trial)
    if settings.get("leak") and settings.get("leak_into", "controller") != "output":
        return 0
    return 3 if settings.get("confidence") == "off" else 2


def by_construction(trial: Mapping[str, Any], n_steps: int) -> list[str]:
    """[T] what the keys of each step share by construction.

    Returns:
        "same": the key is the same in every problem; "one number": it depends on the problem through a single number,
        the confidence of the read at step 2 or its weight on the default entry; "nothing".
    """
    same = n_same(trial)
    return [SAME if t <= same else ONE_NUMBER if same == 2 and t == 3 else FREE for t in range(1, n_steps + 1)]


def _settings(trial: Mapping[str, Any]) -> dict[str, Any]:
    config = trial.get("config")
    return json.loads(config) if isinstance(config, str) else {}
