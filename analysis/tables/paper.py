"""The paper's Tables 9 to 20 with our accuracies in them, from the trials of whatever study.

An arm's label says what is changed in the paper's ESBN, so equal task, m and label are equal settings.
"""

from typing import NamedTuple

import pandas as pd

from analysis.data.cells import load_cells, load_external
from analysis.data.published import PUBLISHED_N, Published, published, published_cells
from analysis.data.trials import VARIANT
from analysis.statistics.summary import Summary, summarise
from analysis.tables.accuracy import percent
from analysis.tables.grid import MISSING, Grid, render

TITLES = {
    "Table 9": "same_different, with TCN and without",
    "Table 10": "rmts, with TCN and without",
    "Table 11": "distribution_of_three, with TCN and without",
    "Table 12": "identity_rules, with TCN and without",
    "Table 13": "model=rn,n_train=100000, the Relation Net on 100,000 training problems",
    "Table 14": "model=trn, the Temporal Relation Network",
    "Table 15": "same_different, ESBN and Transformer by encoder",
    "Table 16": "rmts, ESBN and Transformer by encoder",
    "Table 17": "distribution_of_three, ESBN and Transformer by encoder",
    "Table 18": "identity_rules, ESBN and Transformer by encoder",
    "Table 19": "confidence=off, the ESBN without confidence",
    "Table 20": "confidence=default_memory, a learned default memory entry in place of confidence",
}

_NOTES = (
    "Mean test accuracy (%) ± standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); in"
    " parentheses n, the trained networks.",
    f"Ours: completed trials of every study, without rehearsals; {MISSING}: none yet. Paper: n = {PUBLISHED_N}.",
)

DOUBTFUL = "doubtful"

Place = tuple[str, int, str]  # task, m and arm of a cell


class Cell(NamedTuple):
    """A cell of a table of the paper, and our trials of its task, m and arm; accuracies are fractions."""

    task: str
    withheld: int
    arm: str
    ours: Summary
    paper: Published
    doubt: str | None
    """Why ours cannot be averaged, as `load_cells` has it."""


def cells(results: str) -> list[Cell]:
    """Every cell of Tables 9 to 20 in the paper's order; n = 0 where no trial of ours has completed or there is doubt.

    Args:
        results: folder or URI that studies were run into; it need not be there yet.
    Raises:
        AnalysisError: as `load_cells`.
    """
    trials, _ = load_cells(results, list(published()), PUBLISHED_N)
    doubtful = trials.loc[trials["doubt"].notna()]
    doubts = dict(zip(zip(*(doubtful[c] for c in VARIANT), strict=True), doubtful["doubt"], strict=True))
    completed = trials.loc[trials["status"] == "completed"]
    accuracies = {place: of_cell.tolist() for place, of_cell in completed.groupby(VARIANT)["test_accuracy"]}
    return [
        Cell(*place, summarise(accuracies.get(place, [])), paper, doubts.get(place))
        for place, paper in published_cells()
    ]


def report(results: str, format: str) -> str:
    """Tables 9 to 20 in percent, ours above the paper's; n and the error are explained at the end.

    Args:
        results: as for `cells`.
        format: text, markdown, latex, html or csv (the rows of `cells`, accuracies as fractions).
    Raises:
        AnalysisError: as `cells`; or the format is none of these.
    """
    rows = cells(results)
    notes = list(_NOTES)
    others = _external(results)
    if others:
        notes.append(f"{', '.join(sorted(others))}: results of other code, imported; in none of our means.")
    doubts = {f"{row.task}, m = {row.withheld}, {row.arm} ({row.doubt})": None for row in rows if row.doubt}
    if doubts:
        notes.append(f"{DOUBTFUL}: not averaged, since the trials do not belong together: {'; '.join(doubts)}.")
    elif not any(row.ours.n for row in rows):
        notes.append(f"results={results!r} holds no trials of these tables yet; `esbn list` shows what trains them.")
    return render([_grid(source, rows, others) for source in TITLES], notes, [_frame(rows)], format)


def _external(results: str) -> dict[str, dict[Place, Summary]]:
    """Results of other code by origin and cell."""
    found: dict[str, dict[Place, Summary]] = {}
    for _, of_cell in load_external(results).groupby(["origin", *VARIANT]):
        origin, task, withheld, arm = of_cell[["origin", *VARIANT]].iloc[0].tolist()
        found.setdefault(origin, {})[task, withheld, arm] = summarise(of_cell["test_accuracy"].tolist())
    return found


def _grid(source: str, rows: list[Cell], others: dict[str, dict[Place, Summary]]) -> Grid:
    """A table of the paper: arms against m, or tasks where its one arm spans several; blank where the paper is."""
    here = [row for row in rows if row.paper.source == source]
    name = "task" if len({row.task for row in here}) > 1 else "arm"
    withheld = sorted({row.withheld for row in here})
    lines = []
    for label in dict.fromkeys(getattr(row, name) for row in here):
        of_label = {row.withheld: row for row in here if getattr(row, name) == label}
        lines.append([label, "ours", *(_ours(of_label[m]) if m in of_label else "" for m in withheld)])
        lines.append(["", "paper", *(_paper(of_label[m]) if m in of_label else "" for m in withheld)])
        for origin, found in sorted(others.items()):
            theirs = [found.get(of_label[m][:3]) if m in of_label else None for m in withheld]
            if any(theirs):
                lines.append(["", origin, *(_cell(*summary) if summary else "" for summary in theirs)])
    header, right = [name, "", *(f"m = {m}" for m in withheld)], [False, False, *(True for _ in withheld)]
    return Grid(header, lines, right, f"{source}: {TITLES[source]}")


def _frame(rows: list[Cell]) -> pd.DataFrame:
    columns = ["task", "withheld", "arm", *Summary._fields, "published_mean", "published_sem", "source", "doubt"]
    return pd.DataFrame([(*row[:3], *row.ours, *row.paper, row.doubt) for row in rows], columns=columns)


def _ours(row: Cell) -> str:
    if row.doubt:
        return DOUBTFUL
    return _cell(row.ours.n, row.ours.mean, row.ours.sem) if row.ours.n else MISSING


def _paper(row: Cell) -> str:
    return _cell(PUBLISHED_N, row.paper.mean, row.paper.sem)


def _cell(n: int, mean: float, sem: float) -> str:
    return f"{percent(mean, sem)} {f'({n})':<4}"  # as wide for n = 3 as for n = 10, so that ± stand below each other
