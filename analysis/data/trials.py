"""Rows of the result store as frames; missing, failed and doubled trials are told apart before anything is averaged.

The store is RESULTS/<table>/<name>.parquet and RESULTS/<table>/merged/*.parquet (see study/store/layout.py),
under a local folder or a ``pyarrow.fs`` URI such as ``s3://bucket/folder``. Its columns are those of the Parquet files.
"""

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from analysis.errors import AnalysisError, choices
from study.store.layout import MERGED, find, gone, listed
from study.store.location import first_line, open_location
from study.store.names import KEY

TABLES = ("trials", "curves", "keys", "objects", "plans", "external", "searches", "suggestions", "rungs")
VARIANT = ["task", "withheld", "arm"]

_FILE = "__filename"  # pyarrow's name for the file a row came from
_REHEARSAL = pa.field("rehearsal", pa.bool_())
_LOOKS = [pa.field("looks", pa.int32()), pa.field("seeds_per_look", pa.int32())]
_SEARCH = pa.field("search", pa.string())
_LATER = {"trials": [_REHEARSAL], "plans": [_REHEARSAL, *_LOOKS, _SEARCH]}  # null in files that do not have them
_TWICE = "the trials table holds a trial twice", "delete one of the two files"
_TORN = "{} is not a whole Parquet file; delete it and run the study again"


def load(results: str = "results", table: str = "trials", columns: Sequence[str] | None = None) -> pd.DataFrame:
    """All rows of one table of the store, whatever the study.

    Args:
        results: folder or URI the studies were run into.
        table: one of `TABLES`; keys takes 0.2 GB a trial, so prefer `load_keys`.
        columns: which columns; None: all.
    Returns:
        A row per row of the store; accuracy is a fraction.
    Raises:
        AnalysisError: there is no such folder, table or column, the table has no rows, or a file is torn.
    """
    return read(results, table, columns).to_pandas()


def load_study(results: str, study: str) -> pd.DataFrame:
    """One row per planned trial of a study, trained or not; rehearsals are left out.

    Args:
        results: folder or URI the study was run into.
        study: name of the study; its plan is the union of all its plan files.
    Returns:
        The columns of plans (``arm`` is this study's; ``looks`` is one number for the study and ``seeds_per_look`` one
        for a variant, null where none are planned), then those of trials. ``status`` is completed, failed or missing.
        Rows keep the order of the plan, and so the declared order of tasks and arms.
    Raises:
        AnalysisError: the study is unknown or only rehearsed; a trial is doubled; a completed trial has no accuracy; a
            file is torn.
    """
    plan = _plan(results, study)
    frame = plan.merge(_trials(results, plan), on="trial_id", how="left", validate="one_to_one")
    frame["status"] = frame["status"].fillna("missing")
    _refuse_empty(frame, study)
    return frame


def load_cells(results: str, cells: Sequence[tuple[str, int, str]], n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials that any study has put into these cells, filled up to n a cell; what cannot be averaged is marked.

    Args:
        results: folder or URI that studies were run into; it need not be there yet.
        cells: task, withheld and arm of each.
        n: networks that make a cell whole.
    Returns:
        Rows like those of `load_study`, in the order of the cells, with keys (whether some study asked for them) and
        images_hash. ``status`` is completed, failed, missing, or doubtful where the trials of a cell do not belong
        together: a seed is there twice, or settings other than the seed differ. ``doubt`` then says why, once for all
        rows of the cell.
        And the task, withheld and arm of each rehearsal of these tasks and m, which are not among the rows.
    Raises:
        AnalysisError: a completed trial has no accuracy; a file is torn; the place cannot be read.
    """
    names = ["trial_id", *VARIANT, "seed", "status", "test_accuracy", "config", "images_hash", _REHEARSAL.name]
    trials = _every_trial(results, names)
    wanted = pd.DataFrame(list(dict.fromkeys(cells)), columns=VARIANT).assign(cell=lambda frame: frame.index)
    rehearsed = trials.loc[trials[_REHEARSAL.name].eq(True), VARIANT]
    rehearsed = rehearsed.merge(wanted[["task", "withheld"]].drop_duplicates(), on=["task", "withheld"])
    trials = wanted.merge(_without_rehearsals(trials), on=VARIANT)
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
    """Cells with two trials of one seed, and a sentence on it."""
    repeated = trials.loc[trials.duplicated(["cell", "seed"]), ["cell", "seed"]].drop_duplicates()
    return {
        int(number): f"seed {', '.join(map(str, of_cell))} is there twice; delete the file that is out of date"
        for number, of_cell in repeated.groupby("cell")["seed"]
    }


def _mixed(trials: pd.DataFrame) -> dict[int, str]:
    """Cells whose completed trials differ in more than the seed, and a sentence on it."""
    kinds = trials.loc[trials["status"] == "completed", ["cell", "config", "images_hash"]].drop_duplicates()
    kinds = kinds.loc[kinds.duplicated("cell", keep=False)]
    found = {}
    for number, of_cell in kinds.groupby("cell"):
        protocols = [{"images_hash": row.images_hash, **json.loads(row.config or "{}")} for row in of_cell.itertuples()]
        differing = sorted(name for name in set().union(*protocols) if len({str(p.get(name)) for p in protocols}) > 1)
        values = [f"{name} {' and '.join(str(p.get(name)) for p in protocols)}" for name in differing]
        found[int(number)] = f"{len(protocols)} protocols mixed: {', '.join(values)}"
    return found


def _with_keys(results: str) -> list[str]:
    """Trials whose keys some study asked for."""
    if not has_rows(results, "plans"):
        return []
    return read(results, "plans", ["trial_id"], pc.field("keys"))["trial_id"].unique().to_pylist()


def _every_trial(results: str, columns: list[str]) -> pd.DataFrame:
    """These columns of all trials, configs without their seeds; no rows where there is no folder or no trial yet."""
    if not has_rows(results, "trials"):
        return pd.DataFrame({column: [] for column in columns}, dtype=object)
    table = read(results, "trials", columns)
    if "config" in columns:  # without their seeds, the configs of a store are few
        seed = pc.ReplaceSubstringOptions(r'"seed": \d+', '"seed": 0')
        configs = pc.call_function("replace_substring_regex", [table["config"]], seed)
        table = table.set_column(columns.index("config"), "config", configs.combine_chunks().dictionary_encode())
    trials = table.to_pandas()
    _refuse_empty(trials, "its study")
    return trials


def has_rows(results: str, table: str) -> bool:
    """Whether the store has a file of this table; False where there is no folder yet."""
    if _locate(results)[2] == pafs.FileType.NotFound:
        return False
    fs, root = _connect(results)
    return _has_files(fs, f"{root}/{table}")


def _has_files(fs: pafs.FileSystem, folder: str) -> bool:
    return any(listed(fs, place, ".parquet") for place in (folder, f"{folder}/{MERGED}"))


def load_external(results: str) -> pd.DataFrame:
    """Test results of other code, which no function here averages with ours; no rows where none was imported.

    Returns:
        A row per network: origin, task, withheld, arm, run and test_accuracy, a fraction.
    Raises:
        AnalysisError: a file is torn; the place cannot be read.
    """
    columns = ["origin", *VARIANT, "run", "test_accuracy"]
    if not has_rows(results, "external"):
        return pd.DataFrame({column: [] for column in columns}, dtype=object)
    return read(results, "external", columns).to_pandas()


def _without_rehearsals(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[~frame[_REHEARSAL.name].eq(True)]  # null is False


def _plan(results: str, study: str) -> pd.DataFrame:
    columns = [*open_table(results, "plans")[0].schema.names, _FILE]
    plan = read(results, "plans", columns, pc.field("study") == study).to_pandas()
    if plan.empty:
        there = read(results, "plans", ["study"])["study"].unique().to_pylist()
        raise AnalysisError(f"study={study!r} is not in results={results!r}; {choices(study, there)}")
    plan = _without_rehearsals(plan)
    if plan.empty:
        raise AnalysisError(f"study={study!r} is only rehearsed so far; run it without --limit-updates to have results")
    refuse_repeats(plan, [_FILE, "trial_id"], "a plan holds a trial twice", "delete that file and plan again")
    plan = plan.sort_values("planned_at", kind="stable").drop(columns=_FILE)
    plan["keys"] = plan.groupby("trial_id")["keys"].transform("any")
    looks = sorted(int(number) for number in plan["looks"].dropna().unique())
    if len(looks) > 1:
        several = ", ".join(map(str, looks))
        raise AnalysisError(
            f"the plans of {study} give it different numbers of looks: {several}; delete the stale file"
        )
    plan["looks"] = looks[0] if looks else None
    plan["seeds_per_look"] = plan.groupby(VARIANT)["seeds_per_look"].transform("max")
    plan = plan.drop_duplicates(["trial_id", *VARIANT, "seed"], ignore_index=True)
    refuse_repeats(plan, ["trial_id"], f"the plans of {study} give one trial two arms", "delete the stale plan file")
    refuse_repeats(plan, [*VARIANT, "seed"], f"{study} plans two trials in one place", "delete the stale plan file")
    return plan


def _trials(results: str, plan: pd.DataFrame) -> pd.DataFrame:
    if not has_rows(results, "trials"):  # planned, and nothing has ended yet
        return pd.DataFrame({"trial_id": [], "status": [], "test_accuracy": []}, dtype=object)
    wanted = pc.field("trial_id").isin(plan["trial_id"].tolist())
    trials = read(results, "trials", rows=wanted).to_pandas()
    refuse_repeats(trials, ["trial_id"], *_TWICE)
    return trials[["trial_id", *(column for column in trials if column not in plan)]]


def _refuse_empty(frame: pd.DataFrame, study: str) -> None:
    empty = (frame["status"] == "completed") & frame["test_accuracy"].isna()
    for name in frame.loc[empty, "trial_id"]:
        raise AnalysisError(f"trial {name} is completed without a test_accuracy; delete its file and run {study} again")


def refuse_repeats(frame: pd.DataFrame, columns: list[str], what: str, remedy: str) -> None:
    """Raises `AnalysisError`, which says what is wrong, where and what would do, if two rows agree in the columns."""
    for _, row in frame.loc[frame.duplicated(columns), columns].iterrows():
        names = ", ".join(f"{column}={value}" for column, value in row.items())
        raise AnalysisError(f"{what} ({names}); {remedy}")


def load_keys(results: str, trial_id: str) -> pa.Table:
    """The keys table of one trial, in the order of the store; no rows if the trial has none.

    Column by column: Parquet needs three times a column's size to decode it, and two columns hold 0.1 GB each.

    Raises:
        AnalysisError: there is no such folder, the store has no keys at all, or a file is torn.
    """
    here = pc.field("trial_id") == trial_id
    columns = open_table(results, "keys")[0].schema.names
    return pa.table({column: read(results, "keys", [column], here)[column] for column in columns})


def read(results: str, table: str, columns: Sequence[str] | None = None, rows: pc.Expression | None = None) -> pa.Table:
    """Rows of a table of the store that meet a condition, all by default; only they are held in memory.

    Raises:
        AnalysisError: there is no such folder, table or column, the table has no rows, or a file is torn.
    """
    while True:
        parts = open_table(results, table)
        there = parts[0].schema.names
        unknown = sorted(set(columns or ()) - {*there, _FILE})
        if unknown:
            raise AnalysisError(f"table {table} has no column {unknown[0]!r}; {choices(unknown[0], there)}")
        wanted = list(columns) if columns else None
        try:
            return pa.concat_tables([part.to_table(columns=wanted, filter=rows) for part in parts])
        except (pa.ArrowInvalid, OSError) as error:
            if not outdated(parts):
                raise torn_file(parts) or AnalysisError(f"the results cannot be read: {first_line(error)}") from None


def tables_with_rows(results: str) -> list[str]:
    """The tables of which the store has at least one file; raises `AnalysisError` if there is no such folder."""
    fs, root = _connect(results)
    return [table for table in TABLES if _has_files(fs, f"{root}/{table}")]


def open_table(results: str, table: str) -> list[ds.FileSystemDataset]:
    """A table of the store as lazy datasets, one after the other; there are several only while rows wait to be merged.

    Their columns are those of the first file, and those that came later.

    Raises:
        AnalysisError: there is no such folder or table, the table has no rows, or its first file is torn.
    """
    if table not in TABLES:
        raise AnalysisError(f"table={table!r} is unknown; {choices(table, TABLES)}")
    fs, root = _connect(results)
    while True:
        try:
            files = find(fs, f"{root}/{table}")
        except (OSError, pa.ArrowInvalid) as error:
            raise AnalysisError(f"the results cannot be read: {first_line(error)}") from None
        whole = [file.info.path for file in files.merged if not file.stale]
        paths = sorted([*(info.path for info in files.single.values()), *whole])
        if not paths:
            raise AnalysisError(
                f"results={results!r} has no rows of table {table} yet; run a study into it that makes some"
            )
        try:
            schema = pq.read_schema(paths[0], filesystem=fs)
        except (pa.ArrowInvalid, OSError):
            if gone(fs, paths[:1]):  # merged since it was listed
                continue
            raise AnalysisError(_TORN.format(paths[0])) from None
        for field in _LATER.get(table, ()):
            if field.name not in schema.names:
                schema = schema.append(field)
        cut = [file for file in files.merged if file.stale and file.names]
        return [
            _dataset(paths, schema, fs),
            *(_dataset([f.info.path], schema, fs).filter(~pc.field(KEY).isin(sorted(f.stale))) for f in cut),
        ]


def _dataset(paths: list[str], schema: pa.Schema, fs: pafs.FileSystem) -> ds.FileSystemDataset:
    return ds.FileSystemDataset.from_paths(paths, schema=schema, format=ds.ParquetFileFormat(), filesystem=fs)


def outdated(datasets: Iterable[ds.FileSystemDataset]) -> bool:
    """Whether a file of the datasets has been replaced by a merged one, so that they must be opened again."""
    return any(gone(dataset.filesystem, dataset.files) for dataset in datasets)


def torn_file(datasets: Iterable[ds.FileSystemDataset]) -> AnalysisError | None:
    """The error that names the first torn file of the datasets, if there is one."""
    for dataset in datasets:
        for path in dataset.files:
            try:
                pq.read_metadata(path, filesystem=dataset.filesystem)
            except (pa.ArrowInvalid, OSError):
                return AnalysisError(_TORN.format(path))
    return None


def _connect(results: str) -> tuple[pafs.FileSystem, str]:
    fs, root, kind = _locate(results)
    if kind != pafs.FileType.Directory:
        raise AnalysisError(f"results={results!r} is not a folder that is there; name one that a study was run into")
    return fs, root


def _locate(results: str) -> tuple[pafs.FileSystem, str, pafs.FileType]:
    """Where results are or will be, and what is there."""
    try:
        fs, root, _ = open_location(results)
        return fs, root, fs.get_file_info(root).type
    except (pa.ArrowInvalid, OSError) as error:
        raise AnalysisError(f"results={results!r} cannot be read: {first_line(error)}") from None
