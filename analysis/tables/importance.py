"""Table of the importance of each parameter of a search."""

import pandas as pd

from analysis.data.searches import Search, measured
from analysis.findings.importance import RESAMPLES
from analysis.tables.printed import MISSING, PrintedTable, render

_MEANING = {
    "fanova": "fANOVA (Hutter et al. 2014): share of the variance that a parameter alone explains, in the accuracy that"
    " a random forest predicts over the whole space.",
    "ped_anova": "PED-ANOVA (Watanabe et al. 2023): divergence between the values of a parameter in the best tenth of"
    " suggestions and in all suggestions.",
}


def report(search: Search, frame: pd.DataFrame, evaluator: str, update: int | None, format: str) -> str:
    """Prints the importances of a search.

    Args:
        frame: rows of `importances`, with the same evaluator and update.
    Raises:
        AnalysisError: the format is unknown.
    """
    rows = []
    for row in frame.to_dict("records"):
        known = [f"{row['importance']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}"]
        rows.append([row["parameter"], *([MISSING] * 2 if pd.isna(row["importance"]) else known), str(row["n"])])
    table = PrintedTable(("parameter", "importance", "95 % interval", "n"), rows, (False, True, True, True))
    return render([table], _notes(search, evaluator, update), [frame], format)


def _notes(search: Search, evaluator: str, update: int | None) -> list[str]:
    """Returns notes on the measure and its data."""
    frame = measured(search, update)
    counts = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
    at = "the last rung of each" if update is None else f"update {update}"
    return [
        _MEANING[evaluator] + " Normalised to a sum of 1.",
        f"For validation accuracy at {at}, mean over {len(search.about['seeds'])} seeds, of n suggestions ({counts})."
        f" Interval: percentiles of {RESAMPLES} bootstrap samples of the suggestions. {MISSING}: active in only some"
        " suggestions.",
    ]
