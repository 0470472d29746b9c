"""Tables of comparisons of arms."""

import math
from typing import Any

import pandas as pd

from analysis.findings.comparison import (
    ALPHA,
    Arms,
    Condition,
    arms,
    conditions,
    left_out,
    over_conditions,
    pairs,
    published_differences,
)
from analysis.findings.interim import at_looks, n_looks
from analysis.statistics.bootstrap import RESAMPLES
from analysis.tables.interim import looks_note
from analysis.tables.printed import MISSING, PrintedTable, interval, p_value, render

_TIES = (
    "If all differences are equal, there is no t: the interval is a point, and p is 1 if they are 0, else 2/2^n, as in"
    " the exact sign-flip test."
)

_FIRST_LOOK = (
    "Only the seeds of the first look count, since their number was fixed in advance; later seeds were added because"
    " the first left a question open."
)


def by_seed(frame: pd.DataFrame, baseline: str, format: str) -> str:
    """Prints each arm against the baseline: by condition, as a verdict per arm, and over all conditions.

    Args:
        frame: rows of `load_study` that have passed `check_arms`.
        baseline: arm that the others are compared with.
        format: text, markdown, latex, html or csv (the rows of `pairs`, then those of `arms`).
    Raises:
        AnalysisError: the format is none of these.
    """
    cells, differences = conditions(frame), pairs(frame, baseline)
    of_arms = arms(cells, differences, baseline)
    tables = [_pairs_table(differences), _arms_table(of_arms), _across_table(of_arms)]
    notes = [
        *_pair_notes(differences, baseline),
        *looks_note(n_looks(frame)),
        _matter(of_arms, differences["pairs_needed"].iloc[0]),
        *_unpaired(differences),
        _across_note(baseline),
        *_left_out(cells, of_arms, baseline),
    ]
    return render(tables, notes, [differences, of_arms], format)


def by_condition(frame: pd.DataFrame, baseline: str, format: str) -> str:
    """Prints each arm against the baseline by the paper's t test over condition means, beside the paper's own t.

    Args and Raises: as `by_seed`; csv has the rows of `over_conditions` and the paper's t and n.
    """
    first, *later = at_looks(frame)
    differences = pairs(first, baseline)
    paper = over_conditions(published_differences(baseline)).rename(columns={"t": "paper_t", "n": "paper_n"})
    tests = over_conditions(differences).merge(paper[["arm", "paper_t", "paper_n"]], on="arm", how="left")
    header = ("arm", "conditions", "difference [95 %]", "t", "p", "p (corrected)", "t (paper)", "conditions (paper)")
    table = PrintedTable(header, [_condition_cells(row) for row in tests.to_dict("records")], (False, *[True] * 7))
    notes = [*_condition_notes(tests, baseline), *[_FIRST_LOOK] * bool(later), *_unpaired(differences)]
    return render([table], notes, [tests], format)


def _pairs_table(differences: pd.DataFrame) -> PrintedTable:
    header = ("task", "m", "arm", "pairs", "difference [95 %]", "p", "p (corrected)")
    rows = [
        [row["task"], str(row["withheld"]), row["arm"], f"{row['n']}/{row['planned']}", *_tested(row)]
        for row in differences.to_dict("records")
    ]
    return PrintedTable(header, rows, (False, True, False, True, True, True, True))


def _tested(row: dict[Any, Any]) -> list[str]:
    difference = interval(row["difference_points"], row["low_points"], row["high_points"])
    return [difference, p_value(row["p"]), p_value(row["p_corrected"])]


def _arms_table(of_arms: pd.DataFrame) -> PrintedTable:
    header = ("arm", "compared", "worse", "better", "largest difference", "at")
    rows = []
    for row in of_arms.to_dict("records"):
        told = row["worse"] + row["better"]
        largest = f"{row['largest_points']:+.1f}" if told else MISSING
        place = f"{row['largest_task']}, m = {row['largest_withheld']:.0f}" if told else MISSING
        counts = f"{row['compared']}/{row['conditions']}"
        rows.append([row["arm"], counts, str(row["worse"]), str(row["better"]), largest, place])
    return PrintedTable(header, rows, (False, True, True, True, True, False))


def _across_table(of_arms: pd.DataFrame) -> PrintedTable:
    header = ("arm", "complete", "IQM (%) [95 %]", "IQM of the baseline (%) [95 %]", "P(improvement) [95 %]")
    rows = [
        [
            row["arm"],
            f"{row['complete']}/{row['conditions']}",
            _estimate(row, "iqm", 100, 1),
            _estimate(row, "baseline_iqm", 100, 1),
            _estimate(row, "p_improvement", 1, 2),
        ]
        for row in of_arms.to_dict("records")
    ]
    return PrintedTable(header, rows, (False, True, True, True, True))


def _estimate(row: dict[Any, Any], name: str, scale: float, decimals: int) -> str:
    value, low, high = (scale * row[column] for column in (name, f"{name}_low", f"{name}_high"))
    return MISSING if math.isnan(value) else f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def _condition_cells(row: dict[Any, Any]) -> list[str]:
    paper = [MISSING, MISSING] if math.isnan(row["paper_n"]) else [_t(row["paper_t"]), f"{row['paper_n']:.0f}"]
    difference, p, corrected = _tested(row)
    return [row["arm"], f"{row['n']}/{row['planned']}", difference, _t(row["t"]), p, corrected, *paper]


def _t(t: float) -> str:
    return MISSING if math.isnan(t) else f"{t:+.2f}"


def _pair_notes(differences: pd.DataFrame, baseline: str) -> list[str]:
    n_arms = differences["arm"].nunique()
    return [
        f"pairs: seeds completed in both the arm and {baseline}, of those planned in either; the two trials of a seed"
        f" have the same problems and batches. difference: arm minus {baseline}, in points, mean over pairs with an"
        " uncorrected 95 % t interval (pairs - 1 degrees of freedom).",
        "p: exact two-sided sign-flip test: if arm and baseline did not differ, their networks could be exchanged seed"
        " by seed. p (corrected): over the conditions of the arm by the smallest p of all exchanges (Westfall and"
        f" Young), and over the {n_arms} arms by Bonferroni. The probability of any wrong worse or better is at most"
        f" {ALPHA}.",
        f"worse, better: conditions with p (corrected) ≤ {ALPHA}, which needs {differences['pairs_needed'].iloc[0]} or"
        " more pairs; largest difference: the largest of these. compared: conditions with at least two pairs.",
    ]


def _matter(of_arms: pd.DataFrame, needed: int) -> str:
    told, compared = of_arms["worse"] + of_arms["better"] > 0, of_arms["compared"] > 0
    enough = of_arms["pairs"] >= needed
    groups = {
        "Significant difference from the baseline at one or more conditions": told,
        "No significant difference from the baseline": ~told & compared & enough,
        f"Too few pairs (a significant difference needs {needed})": ~told & compared & ~enough,
        "Not compared (no condition has two pairs)": ~compared,
    }
    named = {what: "; ".join(of_arms.loc[chosen, "arm"]) for what, chosen in groups.items()}
    return " ".join(f"{what}: {names}." for what, names in named.items() if names)


def _unpaired(differences: pd.DataFrame) -> list[str]:
    lone = differences.loc[differences["unpaired"] != ""]
    return [
        f"Unpaired: {row['task']}, m = {row['withheld']}, {row['arm']}: seeds: {row['unpaired']}."
        for row in lone.to_dict("records")
    ]


def _across_note(baseline: str) -> str:
    return (
        "Over conditions (the tasks of Agarwal et al. 2021). IQM: interquartile mean, the mean of the middle half of"
        " all accuracies (networks x conditions), not normalised by chance. P(improvement): probability that a network"
        f" of the arm beats one of {baseline} at the same condition; ties count half. Intervals: percentiles of a"
        f" stratified bootstrap, {RESAMPLES:,} resamples of the networks within each condition and arm. Only conditions"
        " with every planned seed completed in both arms count, so both IQMs are over the same conditions."
    )


def _left_out(cells: dict[Condition, Arms], of_arms: pd.DataFrame, baseline: str) -> list[str]:
    """Returns notes on the conditions left out of the IQM; arms that lack the same conditions share a note."""
    lacking: dict[str, list[str]] = {}
    for arm in of_arms["arm"]:
        if places := left_out(cells, arm, baseline):
            lacking.setdefault(_places(places), []).append(arm)
    return [f"Incomplete and left out of the IQM: {places} ({'; '.join(lack)})." for places, lack in lacking.items()]


def _places(conditions: list[Condition]) -> str:
    of_task: dict[str, list[str]] = {}
    for task, withheld in conditions:
        of_task.setdefault(task, []).append(str(withheld))
    return "; ".join(f"{task}, m = {', '.join(withheld)}" for task, withheld in of_task.items())


def _condition_notes(frame: pd.DataFrame, baseline: str) -> list[str]:
    return [
        f"difference: arm minus {baseline}, in points; mean over conditions (task and m) of the mean over the seeds"
        " completed in both, with an uncorrected 95 % t interval (conditions - 1 degrees of freedom)."
        " conditions: those with such a seed, of those planned.",
        f"t, p: two-sided paired t test over conditions, as in the paper's comparison of encoders. {_TIES}"
        f" p (corrected): by Holm over all {len(frame)} arms. t (paper): the same test on the means in the paper's"
        " tables.",
    ]
