"""Table of the verdicts on a study."""

import pandas as pd

from analysis.findings.accuracy import VariantAccuracy
from analysis.findings.reproduction import DIFFERS, REPRODUCED, SEM_FLOOR, UNDECIDED
from analysis.statistics.tests import MOST_NETWORKS
from analysis.tables.accuracy import ERRORS, HEADER, RIGHT, cells, incomplete, rows_of
from analysis.tables.interim import looks_note
from analysis.tables.printed import MISSING, PrintedTable, interval, p_value, render

_HEADER = (*HEADER, "difference [95 %]", "p (equal)", "p (zero)", "verdict", "more seeds")
_RIGHT = (*RIGHT, True, True, True, False, False)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a frame of `judge` in percent and points, with its rules and what is incomplete under it.

    Args:
        frame: rows of `judge`.
        format: text, markdown, latex, html or csv (the frame itself).
    Raises:
        AnalysisError: the format is none of these.
    """
    variants = rows_of(frame)
    lines = [_cells(row, verdict) for row, verdict in zip(variants, frame.to_dict("records"), strict=True)]
    notes = [_count(frame), *_rules(frame), *incomplete(variants)]
    return render([PrintedTable(_HEADER, lines, _RIGHT)], notes, [frame], format)


def _cells(row: VariantAccuracy, verdict: dict) -> list[str]:
    return [
        *cells(row),
        interval(row.difference_points, verdict["low_points"], verdict["high_points"]),
        p_value(verdict["p_equivalence"]),
        p_value(verdict["p_difference"]),
        verdict["verdict"],
        f"{MISSING} {verdict['obstacle']}" if verdict["obstacle"] else str(verdict["more_seeds"]),
    ]


def _count(frame: pd.DataFrame) -> str:
    counts = [f"{(frame['verdict'] == verdict).sum()} {verdict}" for verdict in (REPRODUCED, DIFFERS, UNDECIDED)]
    return f"{', '.join(counts)}, of {len(frame)} variants that the paper has a value for; no others are judged."


def _rules(frame: pd.DataFrame) -> list[str]:
    columns = ("margin_points", "alpha", "family", "looks")
    margin, alpha, family, looks = (frame[column].iloc[0] for column in columns)
    n = len(frame)
    strictest = f"{alpha:g}/{n}" + (f"/{looks}" if looks > 1 else "")
    return [
        f"{REPRODUCED}: the difference is shown to be within the margin of ±{margin:g} points (equivalence by two"
        f" one-sided Welch t tests), even where it is also shown not to be zero; {DIFFERS}: it is shown not to be zero"
        f" (two-sided Welch t test) and is not shown to be within the margin; {UNDECIDED}: neither, or n < 2.",
        f"p: corrected by Holm, once over the family of {family} tests, two for each of the {n} variants, trained or"
        f" not. Level of the family: {alpha:g}. A difference is not both zero and beyond the margin, so at most {n}"
        f" null hypotheses hold at once, and no p is multiplied by more than {n} (Shaffer 1986).",
        *looks_note(looks),
        "Difference: ours minus paper, in points, with a 95 % Welch interval that is not corrected. Both standard"
        f" errors count, each as {SEM_FLOOR} points at least: the paper's are printed to 0.1, so its 0.0 may be any up"
        " to that; and equal accuracies, at 100 % or at chance, do not show that there is no spread.",
        f"more seeds: the fewest after which a test passes at {strictest}, the strictest step of Holm, if means and"
        f" standard deviations stay as they are. {MISSING}: none can be named, as n < 2, as the seeds"
        f" of the first look have not all ended, or as none up to"
        f" {MOST_NETWORKS:,} networks would do: the paper's standard error is too large to show equivalence within this"
        " margin, or the difference is too far from zero and from the margin alike.",
        ERRORS,
    ]
