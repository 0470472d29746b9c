"""A study's test accuracies, variant by variant, beside the published ones."""

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.load import VARIANT, load_study
from analysis.stats import summarise
from analysis.text import MISSING, aligned, markdown

PUBLISHED_N = 10  # networks behind every published mean

_HEADER = ("task", "m", "arm", "n", "failed", "ours (%)", "paper (%)", "difference", "source")
_RIGHT = (False, True, False, True, True, True, True, True, False)


def table(results: str, study: str) -> pd.DataFrame:
    """Test accuracy of every variant of a study; `variants` documents the columns.

    Args:
        results: folder or URI the study was run into.
        study: name of the study.
    Raises:
        AnalysisError: the study is unknown or its files cannot be read.
    """
    return variants(load_study(results, study))


def variants(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the completed trials of each variant, beside the published value.

    Args:
        frame: rows of `load_study`.
    Returns:
        A row per variant, by task (order of the plan), withheld, arm (order of the plan), with the columns
        task, withheld, arm;
        n: completed trials, which alone are averaged; planned, failed, missing: trials, planned being the sum of the
        three;
        mean, sem: test accuracy, a fraction; mean is NaN if n = 0, sem if n < 2;
        published_mean, published_sem: fractions; source: their table in the paper; null where the paper has no value;
        difference_points: ours minus published, in percentage points.
    """
    rows = []
    for task in frame["task"].unique():
        of_task = frame[frame["task"] == task]
        for withheld in sorted(of_task["withheld"].unique()):
            for arm in frame["arm"].unique():
                trials = of_task[(of_task["withheld"] == withheld) & (of_task["arm"] == arm)]
                if len(trials):
                    rows.append({"task": task, "withheld": withheld, "arm": arm, **_summary(trials)})
    joined = pd.DataFrame(rows).merge(published(), on=VARIANT, how="left", validate="one_to_one")
    joined["difference_points"] = 100 * (joined["mean"] - joined["published_mean"])
    return joined


def _summary(trials: pd.DataFrame) -> dict[str, float]:
    status = trials["status"]
    n, mean, sem = summarise(trials.loc[status == "completed", "test_accuracy"].to_numpy(float))
    failed, missing = int((status == "failed").sum()), int((status == "missing").sum())
    return {"n": n, "planned": len(trials), "failed": failed, "missing": missing, "mean": mean, "sem": sem}


def published() -> pd.DataFrame:
    """The paper's test accuracies: task, withheld, arm, published_mean and published_sem (fractions), source.

    One row per cell; a cell the paper prints in two tables has both in ``source``.

    Source: paper Tables 9-20; 10 networks each.
    """
    cells = pd.read_csv(Path(__file__).with_name("published.csv")).groupby(VARIANT, sort=False)
    joined = cells.agg(published_mean=("test_accuracy", "first"), published_sem=("sem", "first"), source=("source", list))
    return joined.assign(source=joined["source"].map(", ".join)).reset_index()


def to_text(frame: pd.DataFrame) -> str:
    """A frame of `table` as aligned text in percent, with a footnote on errors and on what is incomplete."""
    return aligned(_HEADER, _cells(frame), _RIGHT) + "\n" + "\n".join(_footnotes(frame)) + "\n"


def to_markdown(frame: pd.DataFrame) -> str:
    """A frame of `table` as Markdown in percent, with a footnote on errors and on what is incomplete."""
    return markdown(_HEADER, _cells(frame), _RIGHT) + "\n" + "\n\n".join(_footnotes(frame)) + "\n"


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    return [
        [
            row.task,
            str(row.withheld),
            row.arm,
            f"{row.n}/{row.planned}",
            str(row.failed) if row.failed else "",
            percent(row.mean, row.sem),
            percent(row.published_mean, row.published_sem),
            MISSING if np.isnan(row.difference_points) else f"{row.difference_points:+.1f}",
            row.source if isinstance(row.source, str) else MISSING,
        ]
        for row in frame.itertuples()
    ]


def percent(mean: float, sem: float) -> str:
    """A fraction and its error in percent with one decimal: ``"99.7 ± 0.1"``; a dash for what is NaN."""
    if np.isnan(mean):
        return MISSING
    return f"{100 * mean:.1f} ± {MISSING if np.isnan(sem) else f'{100 * sem:.1f}'}"


def _footnotes(frame: pd.DataFrame) -> list[str]:
    notes = [
        "±: standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); n: completed/planned"
        f" trials. Paper: n = {PUBLISHED_N}. Difference: ours minus paper, in percentage points."
    ]
    short = frame[frame["n"] < frame["planned"]]
    return notes + [f"Incomplete: {row.task}, m = {row.withheld}, {row.arm}: {shortfall(row)}." for row in short.itertuples()]


def shortfall(row) -> str:
    """What a variant lacks, in words: ``"7 of 10 trained, 1 failed, 2 missing"``."""
    parts = [f"{row.n} of {row.planned} trained"]
    parts += [f"{count} {word}" for count, word in ((row.failed, "failed"), (row.missing, "missing")) if count]
    return ", ".join(parts)
