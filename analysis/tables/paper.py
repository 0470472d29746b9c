"""The paper's Tables 9 to 20, with our accuracies added."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.data.published import PUBLISHED_N
from analysis.findings.paper import PaperCell
from analysis.statistics.summary import Summary
from analysis.tables.accuracy import percent
from analysis.tables.printed import MISSING, PrintedTable, render
from esbn_core.vocabulary import Cell
from study.store.location import Place

Others = Mapping[str, Mapping[Cell, Summary]]  # results of other code by origin and cell

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
    "Table 20": "confidence=default_memory, a learned default memory entry instead of confidence",
}

_NOTES = (
    "Mean test accuracy (%) ± standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); in"
    " parentheses n, the number of trained networks.",
    f"Ours: completed trials of all studies, without rehearsals; {MISSING}: none yet. Paper: n = {PUBLISHED_N}.",
)

DOUBTFUL = "doubtful"


def report(rows: Sequence[PaperCell], others: Others, results: Place, format: str) -> str:
    """Prints Tables 9 to 20 in percent, ours above the paper's, with notes on n and errors at the end.

    Args:
        rows: from `paper_cells`.
        others: from `other_code`; shown beside ours, never in our means.
        results: folder or URI they come from, named if it holds nothing.
        format: text, markdown, latex, html or csv (the cells, accuracies as fractions).
    Raises:
        AnalysisError: the format is none of these.
    """
    notes = list(_NOTES)
    if others:
        notes.append(f"{', '.join(sorted(others))}: imported results of other code; not in our means.")
    doubts = dict.fromkeys(f"{row.cell} ({row.doubt})" for row in rows if row.doubt)
    if doubts:
        notes.append(f"{DOUBTFUL}: not averaged, because the trials do not belong together: {'; '.join(doubts)}.")
    elif not any(row.ours.n for row in rows):
        notes.append(
            f"results={str(results)!r} has no trials of these tables yet; `esbn list` shows studies that train them."
        )
    return render([_table(source, rows, others) for source in TITLES], notes, [_frame(rows)], format)


def _table(source: str, rows: Sequence[PaperCell], others: Others) -> PrintedTable:
    """Returns a table of the paper: arms (or tasks, if it has one arm) against m; blank where the paper's is blank."""
    here = [row for row in rows if row.paper.source == source]
    name = "task" if len({row.cell.task for row in here}) > 1 else "arm"
    withheld = sorted({row.cell.withheld for row in here})
    lines = []
    for label in dict.fromkeys(getattr(row.cell, name) for row in here):
        of_label = {row.cell.withheld: row for row in here if getattr(row.cell, name) == label}
        lines.append([label, "ours", *(_ours(of_label[m]) if m in of_label else "" for m in withheld)])
        lines.append(["", "paper", *(_paper(of_label[m]) if m in of_label else "" for m in withheld)])
        for origin, summaries in sorted(others.items()):
            theirs = [summaries.get(of_label[m].cell) if m in of_label else None for m in withheld]
            if any(theirs):
                lines.append(["", origin, *(_mean(*summary) if summary else "" for summary in theirs)])
    header, right = [name, "", *(f"m = {m}" for m in withheld)], [False, False, *(True for _ in withheld)]
    return PrintedTable(header, lines, right, f"{source}: {TITLES[source]}")


def _frame(rows: Sequence[PaperCell]) -> pd.DataFrame:
    columns = [*Cell._fields, *Summary._fields, "published_mean", "published_sem", "source", "doubt"]
    return pd.DataFrame([(*row.cell, *row.ours, *row.paper, row.doubt) for row in rows], columns=columns)


def _ours(row: PaperCell) -> str:
    if row.doubt:
        return DOUBTFUL
    return _mean(*row.ours) if row.ours.n else MISSING


def _paper(row: PaperCell) -> str:
    return _mean(PUBLISHED_N, row.paper.mean, row.paper.sem)


def _mean(n: int, mean: float, sem: float) -> str:
    return f"{percent(mean, sem)} {f'({n})':<4}"  # equal width for n = 3 and n = 10 aligns the ± signs
