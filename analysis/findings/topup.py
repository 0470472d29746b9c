"""Which extra seeds may still decide something, and what those that were bought did decide."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.comparison import ALPHA, check_arms, pairs
from analysis.findings.reproduction import UNDECIDED, verdicts_on
from analysis.statistics.interim import notes, number
from analysis.tables.grid import Grid, render

Cell = tuple[str, int, str]  # task, m, arm
Questions = Callable[[pd.DataFrame], "list[Question]"]  # from rows of `load_study`


class Question(NamedTuple):
    """A verdict or a comparison, with what is known of it."""

    task: str
    withheld: int
    arm: str
    cells: tuple[Cell, ...]  # the variants that an extra seed is added to
    outcome: str
    more_seeds: int | None  # that would decide it as things are; None: none can be said
    obstacle: str  # why none can be said


def of_verdicts(margin: float, alpha: float) -> Questions:
    """Whether each published value is reproduced: see `reproduction.judge`, whose errors it raises."""

    def questions(frame: pd.DataFrame) -> list[Question]:
        rows = verdicts_on(frame, margin, alpha).to_dict("records")
        return [_question(row, (_cell(row),), row["verdict"], row["obstacle"]) for row in rows]

    return questions


def of_comparisons(study: str, baseline: str) -> Questions:
    """Whether each arm differs from the baseline: see `comparison.pairs`; errors are those of `check_arms`."""

    def questions(frame: pd.DataFrame) -> list[Question]:
        check_arms(frame, study, baseline)
        found = []
        for row in pairs(frame, baseline).to_dict("records"):
            told = ("worse" if row["difference_points"] < 0 else "better") if row["p_holm"] <= ALPHA else UNDECIDED
            obstacle = "n < 2" if row["n"] < 2 else "difference too small"
            both = (_cell(row), (row["task"], row["withheld"], baseline))
            found.append(_question(row, both, told, obstacle))
        return found

    return questions


def of_cells(questions: Questions, cells: Collection[Cell]) -> Questions:
    """Those of the questions that these variants answer: a plan in the store may have variants that are no more
    declared, which count in the family of tests but get no seeds."""

    def some(frame: pd.DataFrame) -> list[Question]:
        return [question for question in questions(frame) if set(question.cells) <= set(cells)]

    return some


def _cell(row: dict[Any, Any]) -> Cell:
    return row["task"], row["withheld"], row["arm"]


def _question(row: dict[Any, Any], cells: tuple[Cell, ...], outcome: str, obstacle: str) -> Question:
    more = None if pd.isna(row["more_seeds"]) else int(row["more_seeds"])
    return Question(*_cell(row), cells, outcome, more, "" if more is not None else obstacle)


class Seeds(NamedTuple):
    """What is planned of a variant."""

    planned: int
    per_look: int  # 0: its looks are not planned
    missing: int


def seeds(frame: pd.DataFrame) -> dict[Cell, Seeds]:
    """Planned seeds of every variant, from rows of `load_study`."""
    found: dict[Cell, Seeds] = {}
    columns = (frame[column] for column in (*VARIANT, "seeds_per_look", "status"))
    for task, withheld, arm, per_look, status in zip(*columns, strict=True):
        cell = (task, int(withheld), arm)
        planned, _, missing = found.get(cell, Seeds(0, 0, 0))
        found[cell] = Seeds(planned + 1, 0 if pd.isna(per_look) else int(per_look), missing + (status == "missing"))
    return found


def bought(frame: pd.DataFrame) -> int:
    """Trials planned beyond the first look."""
    return sum(_later(frame))


def _later(frame: pd.DataFrame) -> list[bool]:
    return (frame["seed"] >= frame["seeds_per_look"]).tolist()


def purchase(
    frame: pd.DataFrame, questions: list[Question], budget: int
) -> tuple[dict[Cell, int], dict[Question, str]]:
    """The next look of every open question that extra seeds may decide, cheapest in seeds first, as the budget allows.

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
    have, looks = seeds(frame), number(frame)
    want: dict[Cell, int] = {}
    why: dict[Question, str] = {}
    left = budget - bought(frame)
    for question in sorted((q for q in questions if q.outcome == UNDECIDED), key=_need):
        if reason := _out_of_reach(question, have, looks):
            why[question] = reason
            continue
        look = 1 + min(have[cell].planned // have[cell].per_look for cell in question.cells)
        to_have = {cell: look * have[cell].per_look for cell in question.cells}
        extra = {cell: n for cell, n in to_have.items() if n > want.get(cell, have[cell].planned)}
        cost = sum(n - want.get(cell, have[cell].planned) for cell, n in extra.items())
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
    found = [have[cell] for cell in question.cells if cell in have]
    if len(found) < len(question.cells) or not all(cell.per_look for cell in found):
        return "not planned with looks"
    if any(cell.missing for cell in found):
        return "waits for planned seeds"
    if min(cell.planned // cell.per_look for cell in found) >= looks:
        return "all looks are taken"
    if question.more_seeds is None:
        return question.obstacle
    seeds_then = min(cell.planned for cell in found) + question.more_seeds
    last = looks * min(cell.per_look for cell in found)
    return f"about {seeds_then} seeds, and the last look is at {last}" if seeds_then > last else ""


def report(frame: pd.DataFrame, questions: Questions, budget: int) -> str:
    """What the seeds beyond the first look cost and decided, and why what is open is left so.

    Args:
        frame: rows of `load_study` with looks.
        questions: asked of it as it is, and as it was at the first look.
        budget: as for `purchase`.
    """
    now = questions(frame)
    before = questions(frame.loc[[not later for later in _later(frame)]])
    want, why = purchase(frame, now, budget)
    have, looks = seeds(frame), number(frame)
    rows = [
        (*q[:3], _seeds_cell(q, have), _looks_cell(q, have, looks), was.outcome, q.outcome, _next(q, want, why))
        for was, q in zip(before, now, strict=True)
        if was.outcome == UNDECIDED
    ]
    decided = sum(row[6] != UNDECIDED for row in rows)
    lines = [
        f"Bought {bought(frame)} trials of a budget of {budget}. Of {len(now)} questions, {len(rows)} were open at the"
        f" first look; the trials decided {decided} of these.",
        "seeds: of the variant, or of the arm and the baseline; from the first look to now.",
        *notes(looks),
    ]
    header = ("task", "m", "arm", "seeds", "look", "at the first look", "now", "next")
    grid = Grid(header, [[str(cell) for cell in row] for row in rows], (False, True, *[False] * 6))
    return render([grid], lines, [], "text")


def _seeds_cell(question: Question, have: dict[Cell, Seeds]) -> str:
    return ", ".join(f"{have[cell].per_look} → {have[cell].planned}" for cell in question.cells if cell in have)


def _looks_cell(question: Question, have: dict[Cell, Seeds], looks: int) -> str:
    taken = [
        have[cell].planned // have[cell].per_look for cell in question.cells if cell in have and have[cell].per_look
    ]
    return f"{min(taken, default=0)}/{looks}"


def _next(question: Question, want: dict[Cell, int], why: dict[Question, str]) -> str:
    if question.outcome != UNDECIDED:
        return ""
    return why.get(question) or " and ".join(
        f"{want[cell]} seeds of {cell[2]}" for cell in question.cells if cell in want
    )
