"""Extra seeds: which may still decide a question, and what they cost."""

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
    """A verdict or a comparison, with what is known of it."""

    cell: Cell  # the variant it is about
    cells: tuple[Cell, ...]  # the variants that an extra seed is added to
    outcome: str
    more_seeds: int | None  # that would decide it as things are; None: none can be said
    obstacle: str  # why none can be said


def of_verdicts(margin: float, alpha: float) -> Questions:
    """Asks whether our networks agree with each published value: see `reproduction.judge`, whose errors it raises."""

    def questions(frame: pd.DataFrame) -> list[Question]:
        rows = verdicts(frame, margin, alpha).to_dict("records")
        return [_question(row, (), row["verdict"], row["obstacle"]) for row in rows]

    return questions


def of_comparisons(study: str, baseline: str) -> Questions:
    """Asks whether each arm differs from the baseline: see `comparison.pairs`; errors are those of `check_arms`."""

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
    """Asks those of the questions that these variants answer: a plan in the store may have variants that are no longer
    declared, which count in the family of tests but get no seeds."""

    def some(frame: pd.DataFrame) -> list[Question]:
        return [question for question in questions(frame) if set(question.cells) <= set(cells)]

    return some


def _question(row: dict[Any, Any], others: tuple[Cell, ...], outcome: str, obstacle: str) -> Question:
    cell = Cell(*(row[column] for column in VARIANT))
    more = None if pd.isna(row["more_seeds"]) else int(row["more_seeds"])
    return Question(cell, (cell, *others), outcome, more, "" if more is not None else obstacle)


class Seeds(NamedTuple):
    """What is planned of a variant."""

    planned: int
    per_look: int  # 0: its looks are not planned
    missing: int

    @property
    def looks(self) -> int:
        """How many looks it has seeds for."""
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
    """Returns the trials that the first look counts, from rows of `load_study`."""
    return frame.loc[~(frame["seed"] >= frame["seeds_per_look"])]  # no looks planned: all


def bought(frame: pd.DataFrame) -> int:
    """Returns how many trials are planned beyond the first look."""
    return len(frame) - len(at_first_look(frame))


def purchase(
    frame: pd.DataFrame, questions: list[Question], budget: int
) -> tuple[dict[Cell, int], dict[Question, str]]:
    """Chooses the next look of every open question that extra seeds may decide, cheapest in seeds first, as the budget
    allows.

    A question gets its next look if, by its means and SDs as they are, one of the looks to come would decide it.
    Leaving one out costs no error: a level that holds for stopping anywhere holds for stopping there.

    Args:
        frame: rows of `load_study` with looks.
        questions: about it.
        budget: trials beyond the first look that the study may have in all.
    Returns:
        For each variant that gets some, how many seeds it is to have then; and for each open question that gets none,
        why.
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
            why[question] = f"{cost} trials would be over the budget"
            continue
        want |= extra
        left -= cost
    return want, why


def _need(question: Question) -> float:
    return float("inf") if question.more_seeds is None else question.more_seeds


def _out_of_reach(question: Question, have: dict[Cell, Seeds], looks: int) -> str:
    """Why no look to come would decide a question, or nothing."""
    planned = [have[cell] for cell in question.cells if cell in have]
    if len(planned) < len(question.cells) or not all(cell.per_look for cell in planned):
        return "not planned with looks"
    if any(cell.missing for cell in planned):
        return "waits for planned seeds"
    if min(cell.looks for cell in planned) >= looks:
        return "all looks are taken"
    if question.more_seeds is None:
        return question.obstacle
    seeds_then = min(cell.planned for cell in planned) + question.more_seeds
    last = looks * min(cell.per_look for cell in planned)
    return f"about {seeds_then} seeds, and the last look is at {last}" if seeds_then > last else ""
