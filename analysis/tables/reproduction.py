"""Table of the verdicts on a study."""

import pandas as pd

from analysis.findings.accuracy import VariantAccuracy
from analysis.findings.reproduction import AGREES, DIFFERS, LEAST, SEM_FLOOR, UNDECIDED
from analysis.statistics.tests import MOST_NETWORKS
from analysis.tables.accuracy import ERRORS, HEADER, RIGHT, cells, incomplete, protocols, rows_of
from analysis.tables.interim import looks_note
from analysis.tables.printed import MISSING, PrintedTable, interval, p_value, render

_HEADER = (*HEADER, "difference [95 %]", "networks within", "p (agrees)", "p (differs)", "verdict", "more seeds")
_RIGHT = (*RIGHT, True, True, True, True, False, False)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a frame of `judge` in percent and points, with notes on its rules and on incomplete variants.

    Args:
        frame: rows of `judge`.
        format: text, markdown, latex, html or csv (the frame itself).
    Raises:
        AnalysisError: the format is none of these.
    """
    variants = rows_of(frame)
    lines = [_cells(row, verdict) for row, verdict in zip(variants, frame.to_dict("records"), strict=True)]
    notes = [_count(frame), *_rules(frame), *protocols(variants), *incomplete(variants)]
    return render([PrintedTable(_HEADER, lines, _RIGHT)], notes, [frame], format)


def _cells(row: VariantAccuracy, verdict: dict) -> list[str]:
    return [
        *cells(row),
        interval(row.difference_points, verdict["low_points"], verdict["high_points"]),
        _within(verdict),
        p_value(verdict["p_agrees"]),
        p_value(verdict["p_differs"]),
        verdict["verdict"],
        f"{MISSING} {verdict['obstacle']}" if verdict["obstacle"] else str(verdict["more_seeds"]),
    ]


def _within(verdict: dict) -> str:
    if not verdict["n"]:
        return MISSING
    return f"{verdict['agreeing']}/{verdict['n']} (≥ {100 * verdict['agreeing_at_least']:.0f} %)"


def _count(frame: pd.DataFrame) -> str:
    counts = [f"{(frame['verdict'] == verdict).sum()} {verdict}" for verdict in (AGREES, DIFFERS, UNDECIDED)]
    if confounded := len(frame.loc[frame["confounded"] & (frame["verdict"] == DIFFERS)]):
        counts[1] += f" ({confounded} confounded)"
    return f"{', '.join(counts)}, of {len(frame)} variants with a published value; no others are judged."


def _rules(frame: pd.DataFrame) -> list[str]:
    margin, alpha, looks = (frame[column].iloc[0] for column in ("margin_points", "alpha", "looks"))
    n = len(frame)
    strictest = f"{alpha:g}/{n}" + (f"/{looks}" if looks > 1 else "")
    return [
        f"{AGREES}: most networks (more than half of all that could be trained) lie within {margin:g} points of the"
        f" published mean (exact sign test). This does not mean that the means are equal. {DIFFERS}: the means are more"
        f" than {margin:g} points apart (t test). {UNDECIDED}: neither is shown. Both verdicts need at least {LEAST}"
        " networks.",
        f"networks within: number of our networks within {margin:g} points of the published mean, and a lower bound on"
        " the share of all networks there (95 %, Clopper-Pearson, uncorrected). 10 of 10 show 74 %, so up to 26 % may"
        " fail.",
        f"p: corrected by Holm over the {n} variants, trained or not, separately for each verdict. The probability of"
        f" any wrong {AGREES} is at most {alpha:g}, and so is that of any wrong {DIFFERS} where the t test holds"
        " (docs/verdicts.md).",
        *looks_note(looks),
        "difference: ours minus paper, in points, with an uncorrected 95 % t interval. It uses both standard errors,"
        f" each at least {SEM_FLOOR} points, because the paper's are printed to 0.1.",
        f"more seeds: the smallest number after which a test would pass at {strictest}, if the mean, the standard"
        f" deviation and the share within stay the same. {MISSING}: n < 2, seeds of the first look are missing, or no"
        f" number up to {MOST_NETWORKS:,} is enough.",
        ERRORS,
    ]
