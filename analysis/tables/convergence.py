"""Table of updates to criterion."""

import math

import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.comparison import spans
from analysis.findings.convergence import NO_CURVE, PAPER, SHORT, VariantConvergence, convergence
from analysis.tables.printed import MISSING, PrintedTable, render
from esbn_core.vocabulary import CURVE_START, CURVE_STEP, Cell

_LEFT_OUT = {
    "failed": "Not counted (failed)",
    "missing": "Missing",
    NO_CURVE: "Not counted (no stored curve)",
    SHORT: "Not counted (curve shorter than the window)",
}


def report(networks: pd.DataFrame, criterion: float, window: int, format: str) -> str:
    """Prints the updates that the networks of each arm need to reach the criterion, beside the paper's claim.

    Args:
        networks: rows of `updates_to_criterion`.
        criterion, window: the arguments they were made with.
        format: text, markdown, latex, html or csv (a row per variant, then a row per network).
    Raises:
        AnalysisError: the format is none of these.
    """
    rows = convergence(networks)
    header = ("task", "m", "arm", "networks", "censored", "first", "median [95 %]", "paper")
    table = PrintedTable(header, [_cells(row) for row in rows], (False, True, False, *[True] * 5))
    notes = [*criterion_notes(criterion, window), _PAPER, *_coarse(rows), *_left_out(networks)]
    return render([table], notes, [pd.DataFrame(rows), networks], format)


_PAPER = (
    f"paper: its claim for the ESBN on all four tasks (section 5.1, Figures 4 and 5): near-perfect training accuracy"
    f" within {PAPER[0]} to {PAPER[1]} updates. It defines no criterion, so this table gives no verdict."
)


def criterion_notes(criterion: float, window: int) -> list[str]:
    """Returns notes on the criterion and the columns."""
    return [
        f"Updates until a network's training accuracy first averages {criterion:g} % over {window} consecutive"
        " measurements, each of one batch before its update. All of the first"
        f" {CURVE_START} updates are measured, and every {CURVE_STEP}th after that, so the window is {window} updates"
        f" long at first and {CURVE_STEP * window} later. Training problems only.",
        "networks: those with a curve long enough to decide, of those planned. censored: those that have not reached"
        " the criterion by their last measurement; they count as later. median: Kaplan-Meier, with an exact 95 %"
        " interval (order statistics), which needs 6 networks. not reached: fewer than half of the networks reach it.",
    ]


def _cells(row: VariantConvergence) -> list[str]:
    counts = [f"{row.n}/{row.planned}", str(row.censored)] if row.n else [f"0/{row.planned}", MISSING]
    low, high = (f"{end:,.0f}" if math.isfinite(end) else "∞" for end in (row.low, row.high))
    interval = MISSING if math.isnan(row.low) else f"[{low}, {high}]"
    middle = f"{updates(row.median)} {interval}" if row.n else MISSING
    return [row.task, str(row.withheld), row.arm, *counts, updates(row.first), middle, row.paper or MISSING]


def updates(number: float) -> str:
    """Prints a number of updates: ``"1,234"``, ``"not reached"`` for an infinite one, and a dash for NaN."""
    if math.isnan(number):
        return MISSING
    return f"{number:,.0f}" if math.isfinite(number) else "not reached"


def _coarse(rows: list[VariantConvergence]) -> list[str]:
    names = "; ".join(str(Cell(*row[:3])) for row in rows if row.step > 1)
    if not names:
        return []
    return [
        f"Measured only at every {CURVE_STEP}th update, since an earlier version stored at least one of the curves:"
        f" {names}. There the window is {CURVE_STEP} times as long from the start, which makes the numbers larger."
    ]


def _left_out(networks: pd.DataFrame) -> list[str]:
    notes = []
    for outcome, words in _LEFT_OUT.items():
        seeds: dict[Cell, list[int]] = {}
        for *cell, seed in networks.loc[networks["outcome"] == outcome, [*VARIANT, "seed"]].itertuples(index=False):
            seeds.setdefault(Cell(*cell), []).append(int(seed))
        if seeds:
            places = (f"{cell}, seed{'s' * (len(numbers) > 1)} {spans(numbers)}" for cell, numbers in seeds.items())
            notes.append(f"{words}: {'; '.join(places)}.")
    return notes
