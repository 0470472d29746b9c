"""Sentences under a figure on n and on incomplete, missing and omitted variants."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from analysis.data.trials import VARIANT
from analysis.figures.description import task_title
from analysis.figures.palette import Style
from analysis.findings.accuracy import VariantAccuracy
from esbn_core.vocabulary import Cell


def count_networks(rows: Sequence[VariantAccuracy]) -> str:
    """Returns a phrase on the number of trained networks per mean."""
    usual = _usual_n(rows)
    return "n as listed" if usual is None else f"n = {usual} trained networks per mean unless listed"


def _usual_n(rows: Sequence[VariantAccuracy]) -> int | None:
    """Returns the most frequent n of complete variants; None if none is complete."""
    whole = [row.n for row in rows if row.n == row.planned]
    return max(set(whole), key=lambda n: (whole.count(n), n)) if whole else None


def list_gaps(frame: pd.DataFrame, rows: Sequence[VariantAccuracy], style_of_arm: Mapping[str, Style]) -> list[str]:
    """Returns a sentence per kind of incomplete variant, and one on variants with an unusual n.

    Args:
        frame: rows of `analysis.load_study` or `load_cells`.
        rows: its `variants`.
        style_of_arm: the style of each of its arms.
    """
    usual = _usual_n(rows)
    doubts = _doubts(frame)
    kinds: dict[str, Callable[[VariantAccuracy], bool]] = {
        "Other n": lambda row: row.n == row.planned != usual,
        "Incomplete": lambda row: 0 < row.n < row.planned,
        "Not averaged": lambda row: row[:3] in doubts,
        "None trained": lambda row: row.n == 0 and row[:3] not in doubts,
    }
    sentences = []
    for kind, belongs in kinds.items():
        if chosen := [row for row in rows if belongs(row)]:
            lacks = [doubts.get(row[:3], row.lack if row.n or row.failed else "") for row in chosen]
            sentences.append(f"{kind}: {'; '.join(_together(chosen, lacks, rows, style_of_arm))}.")
    return sentences


def _doubts(frame: pd.DataFrame) -> dict[tuple[str, int, str], str]:
    """Returns why trials are not averaged, by variant."""
    if "doubt" not in frame:
        return {}
    doubtful = frame.loc[frame["doubt"].notna(), [*VARIANT, "doubt"]].drop_duplicates(VARIANT)
    return {Cell(task, int(m), arm): doubt for task, m, arm, doubt in doubtful.itertuples(index=False)}


def _together(
    chosen: Sequence[VariantAccuracy],
    lacks: Sequence[str],
    rows: Sequence[VariantAccuracy],
    style_of_arm: Mapping[str, Style],
) -> list[str]:
    """Names the chosen variants; groups the m at which an arm lacks the same, and then the arms that lack the same."""
    m_of_arm: dict[tuple[str, str, str], list[str]] = {}
    for row, lack in zip(chosen, lacks, strict=True):
        m_of_arm.setdefault((row.task, row.arm, lack), []).append(str(row.withheld))
    arms_at: dict[tuple[str, str, str], list[str]] = {}
    for (task, arm, lack), withheld in m_of_arm.items():
        arms_at.setdefault((task, ", ".join(withheld), lack), []).append(arm)
    every = {row.task: {other.arm for other in rows if other.task == row.task} for row in rows}
    return [
        f"{task_title(task)}, m = {m}, {_arms(arms, every[task], style_of_arm)}" + (f" ({lack})" if lack else "")
        for (task, m, lack), arms in arms_at.items()
    ]


def _arms(arms: Sequence[str], every: set[str], style_of_arm: Mapping[str, Style]) -> str:
    if len(every) > 2 and set(arms) == every:
        return f"all {len(every)} arms"
    return " · ".join(style.label for arm, style in style_of_arm.items() if arm in arms)
