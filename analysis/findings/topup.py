"""Extra seeds: the seeds that may still decide a question, and their cost."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.comparison import ALPHA, check_arms, pairs
from analysis.findings.interim import n_looks
from analysis.findings.reproduction import UNDECIDED, verdicts
from esbn_core.vocabulary import Cell

Questions = Callable[[pd.DataFrame], "list[Question]"]  # from rows of `load_study`


class Question(NamedTuple):
    """A verdict or comparison, with its current state."""

    cell: Cell  # the variant it is about
    cells: tuple[Cell, ...]  # the variants that get extra seeds
    outcome: str
    more_seeds: int | None  # number that would decide it by current means and SDs; None: unknown
    obstacle: str  # why it is unknown


def of_verdicts(margin: float, alpha: float) -> Questions:
    """Asks whether our networks agree with each published value; see `reproduction.judge`, also for errors."""

    def questions(frame: pd.DataFrame) -> list[Question]:
        rows = verdicts(frame, margin, alpha).to_dict("records")
        return [_question(row, (), row["verdict"], row["obstacle"]) for row in rows]

    return questions


def of_comparisons(study: str, baseline: str) -> Questions:
    """Asks whether each arm differs from the baseline; see `comparison.pairs`, and `check_arms` for errors."""

    def questions(frame: pd.DataFrame) -> list[Question]:
        check_arms(frame, study, baseline)
        asked = []
        for row in pairs(frame, baseline).to_dict("records"):
            told = ("worse" if row["difference_points"] < 0 else "better") if row["p_corrected"] <= ALPHA else UNDECIDED
            obstacle = "n < 2" if row["n"] < 2 else "difference too small"
            asked.append(_question(row, (Cell(row["task"], row["withheld"], baseline),), told, obstacle))
        return asked

    return questions


def of_cells(questions: Questions, cells: Collection[Cell]) -> Questions:
    """Keeps the questions about these variants. Stored plans may have variants that are no longer declared; these count
    in the family of tests but get no seeds."""

    def some(frame: pd.DataFrame) -> list[Question]:
        return [question for question in questions(frame) if set(question.cells) <= set(cells)]

    return some


def _question(row: dict[Any, Any], others: tuple[Cell, ...], outcome: str, obstacle: str) -> Question:
    cell = Cell(*(row[column] for column in VARIANT))
    more = None if pd.isna(row["more_seeds"]) else int(row["more_seeds"])
    return Question(cell, (cell, *others), outcome, more, "" if more is not None else obstacle)


class Seeds(NamedTuple):
    """Planned seeds of a variant."""

    planned: int
    per_look: int  # 0: its looks are not planned
    missing: int

    @property
    def looks(self) -> int:
        """Number of looks that it has seeds for."""
        return self.planned // self.per_look if self.per_look else 0


def seeds(frame: pd.DataFrame) -> dict[Cell, Seeds]:
    """Returns the planned seeds of every variant, from rows of `load_study`."""
    planned: dict[Cell, Seeds] = {}
    columns = (frame[column] for column in (*VARIANT, "seeds_per_look", "status"))
    for task, withheld, arm, per_look, status in zip(*columns, strict=True):
        cell = Cell(task, int(withheld), arm)
        before = planned.get(cell, Seeds(0, 0 if pd.isna(per_look) else int(per_look), 0))
        planned[cell] = before._replace(planned=before.planned + 1, missing=before.missing + (status == "missing"))
    return planned


def at_first_look(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials of the first look, from rows of `load_study`."""
    return frame.loc[~(frame["seed"] >= frame["seeds_per_look"])]  # no looks planned: all


def bought(frame: pd.DataFrame) -> int:
    """Returns the number of trials planned after the first look."""
    return len(frame) - len(at_first_look(frame))


def purchase(
    frame: pd.DataFrame, questions: list[Question], budget: int
) -> tuple[dict[Cell, int], dict[Question, str]]:
    """Chooses undecided questions for their next look within the budget; those that need the fewest seeds come first.

    A question gets its next look if, by its current means and SDs, one of the remaining looks would decide it. Skipping
    a question does not inflate the error rate: a level that holds for any stopping rule holds for this one.

    Args:
        frame: rows of `load_study` with looks.
        questions: the questions about it.
        budget: largest total number of trials after the first look.
    Returns:
        For each variant that gets seeds, its new number of seeds; and for each undecided question that gets none, the
        reason.
    """
    have, looks = seeds(frame), n_looks(frame)
    want: dict[Cell, int] = {}
    why: dict[Question, str] = {}
    left = budget - bought(frame)
    for question in sorted((q for q in questions if q.outcome == UNDECIDED), key=_need):
        if reason := _out_of_reach(question, have, looks):
            why[question] = reason
            continue
        look = 1 + min(have[cell].looks for cell in question.cells)
        planned = {cell: want.get(cell, have[cell].planned) for cell in question.cells}
        extra = {cell: n for cell in planned if (n := look * have[cell].per_look) > planned[cell]}
        cost = sum(n - planned[cell] for cell, n in extra.items())
        if cost > left:
            why[question] = f"its {cost} trials exceed the budget"
            continue
        want |= extra
        left -= cost
    return want, why


def _need(question: Question) -> float:
    return float("inf") if question.more_seeds is None else question.more_seeds


def _out_of_reach(question: Question, have: dict[Cell, Seeds], looks: int) -> str:
    """Returns why no remaining look would decide a question; empty if one would."""
    planned = [have[cell] for cell in question.cells if cell in have]
    if len(planned) < len(question.cells) or not all(cell.per_look for cell in planned):
        return "no looks planned"
    if any(cell.missing for cell in planned):
        return "waits for planned seeds"
    if min(cell.looks for cell in planned) >= looks:
        return "all looks taken"
    if question.more_seeds is None:
        return question.obstacle
    seeds_then = min(cell.planned for cell in planned) + question.more_seeds
    last = looks * min(cell.per_look for cell in planned)
    return (
        f"needs about {seeds_then} seeds; the last planned look is at {last}, so it will stay undecided"
        if seeds_then > last
        else ""
    )
