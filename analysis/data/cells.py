"""Trials of all studies by cell of the paper's tables, and results of other code for comparison."""

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from analysis.data.results import has_rows, read
from analysis.data.trials import VARIANT, without_rehearsals
from study.store.location import Place


def load_cells(results: Place, cells: Iterable[tuple[str, int, str]], n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads the trials of any study in these cells, filled up to n rows per cell; marks those that cannot be averaged.

    Args:
        results: folder or URI of the result store; it need not exist yet.
        cells: task, withheld and arm of each; `Cell` is one.
        n: number of networks in a complete cell.
    Returns:
        Rows like those of `load_study`, in the order of the cells, with keys (whether a study records them) and
        images_hash. ``status`` is completed, failed, missing, or doubtful if the trials of a cell do not belong
        together: a seed occurs twice, or settings other than the seed differ. ``doubt`` then gives the reason, the same
        in all rows of the cell.
        Also the task, withheld and arm of each rehearsal of these tasks and m, which are not among the rows.
    Raises:
        AnalysisError: a completed trial has no accuracy.
        StoreError: the place cannot be read.
    """
    trials = _every_trial(results)
    wanted = pd.DataFrame(list(dict.fromkeys(cells)), columns=VARIANT).assign(cell=lambda frame: frame.index)
    rehearsed = trials.loc[trials["rehearsal"].eq(True), VARIANT]
    rehearsed = rehearsed.merge(wanted[["task", "withheld"]].drop_duplicates(), on=["task", "withheld"])
    trials = wanted.merge(without_rehearsals(trials), on=VARIANT)
    doubts = {**_mixed(trials), **_repeated(trials)}
    trials = trials.drop_duplicates(["cell", "seed"])
    lacking = (n - trials["cell"].value_counts().reindex(wanted["cell"], fill_value=0)).clip(lower=0)
    missing = wanted.loc[np.repeat(wanted.index, lacking)].assign(status="missing")
    rows = pd.concat([trials, missing]).sort_values("cell", kind="stable", ignore_index=True)
    rows["doubt"] = rows["cell"].map(doubts.get)
    rows.loc[rows["doubt"].notna() & (rows["status"] == "completed"), "status"] = "doubtful"
    rows["keys"] = rows["trial_id"].isin(_with_keys(results))
    return rows.drop(columns="cell"), rehearsed


def _repeated(trials: pd.DataFrame) -> dict[int, str]:
    """Returns a sentence on each cell, by its number, that has two trials of one seed."""
    repeated = trials.loc[trials.duplicated(["cell", "seed"]), ["cell", "seed"]].drop_duplicates()
    return {
        int(number): f"seed {', '.join(map(str, of_cell))} occurs twice; delete the outdated file"
        for number, of_cell in repeated.groupby("cell")["seed"]
    }


def _mixed(trials: pd.DataFrame) -> dict[int, str]:
    """Returns a sentence on each cell, by its number, whose completed trials differ in more than the seed."""
    kinds = trials.loc[trials["status"] == "completed", ["cell", "config", "images_hash"]].drop_duplicates()
    kinds = kinds.loc[kinds.duplicated("cell", keep=False)]
    doubts = {}
    for number, of_cell in kinds.groupby("cell"):
        protocols = [{"images_hash": row.images_hash, **json.loads(row.config or "{}")} for row in of_cell.itertuples()]
        differing = sorted(name for name in set().union(*protocols) if len({str(p.get(name)) for p in protocols}) > 1)
        values = [f"{name} {' and '.join(str(p.get(name)) for p in protocols)}" for name in differing]
        doubts[int(number)] = f"{len(protocols)} protocols mixed: {', '.join(values)}"
    return doubts


def _with_keys(results: Place) -> list[str]:
    """Returns the ids of trials whose keys some study records."""
    if not has_rows(results, "plans"):
        return []
    return read(results, "plans", ["trial_id"], pc.field("keys"))["trial_id"].unique().to_pylist()


def _every_trial(results: Place) -> pd.DataFrame:
    """Reads all trials, with configs without seeds; no rows if there is no folder or no trial yet."""
    columns = ["trial_id", *VARIANT, "seed", "status", "test_accuracy", "config", "images_hash", "rehearsal"]
    if not has_rows(results, "trials"):
        return pd.DataFrame({column: [] for column in columns}, dtype=object)
    table = read(results, "trials", columns)
    seed = pc.ReplaceSubstringOptions(r'"seed": \d+', '"seed": 0')
    configs = pc.call_function("replace_substring_regex", [table["config"]], seed)  # few, without their seeds
    table = table.set_column(columns.index("config"), "config", configs.combine_chunks().dictionary_encode())
    return table.to_pandas()


def load_external(results: Place) -> pd.DataFrame:
    """Reads test results of other code, which are never averaged with ours; no rows if none were imported.

    Returns:
        A row per network: origin, task, withheld, arm, run and test_accuracy, a fraction.
    Raises:
        StoreError: the place cannot be read.
    """
    columns = ["origin", *VARIANT, "run", "test_accuracy"]
    if not has_rows(results, "external"):
        return pd.DataFrame({column: [] for column in columns}, dtype=object)
    return read(results, "external", columns).to_pandas()
