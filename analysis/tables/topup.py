"""Table of the cost of extra seeds and of the questions they decided."""

import pandas as pd

from analysis.findings.interim import n_looks
from analysis.findings.reproduction import UNDECIDED
from analysis.findings.topup import Question, Questions, Seeds, at_first_look, bought, purchase, seeds
from analysis.tables.interim import looks_note
from analysis.tables.printed import PrintedTable, render
from esbn_core.vocabulary import Cell

_HEADER = ("task", "m", "arm", "seeds", "look", "at the first look", "now", "next")


def report(frame: pd.DataFrame, questions: Questions, budget: int) -> str:
    """Prints the cost of seeds after the first look, what they decided, and why other questions stay open.

    Args:
        frame: rows of `load_study` with looks.
        questions: evaluated on the frame now and at the first look.
        budget: as for `purchase`.
    """
    now = questions(frame)
    want, why = purchase(frame, now, budget)
    have, looks = seeds(frame), n_looks(frame)
    opened = [q for was, q in zip(questions(at_first_look(frame)), now, strict=True) if was.outcome == UNDECIDED]
    rows = [
        [*map(str, q.cell), *_seeds_and_look(q, have, looks), UNDECIDED, q.outcome, _next(q, want, why)] for q in opened
    ]
    decided = sum(q.outcome != UNDECIDED for q in opened)
    lines = [
        f"{bought(frame)} extra trials of a budget of {budget}. Of {len(now)} questions, {len(rows)} were undecided at"
        f" the first look; the extra trials decided {decided} of these.",
        "seeds: of the variant, or of the arm and the baseline, at the first look → now.",
        *looks_note(looks),
    ]
    return render([PrintedTable(_HEADER, rows, (False, True, *[False] * 6))], lines, [], "text")


def _seeds_and_look(question: Question, have: dict[Cell, Seeds], looks: int) -> tuple[str, str]:
    planned = [have[cell] for cell in question.cells if cell in have]
    taken = min((cell.looks for cell in planned if cell.per_look), default=0)
    return ", ".join(f"{cell.per_look} → {cell.planned}" for cell in planned), f"{taken}/{looks}"


def _next(question: Question, want: dict[Cell, int], why: dict[Question, str]) -> str:
    if question.outcome != UNDECIDED:
        return ""
    return why.get(question) or " and ".join(
        f"{want[cell]} seeds of {cell.arm}" for cell in question.cells if cell in want
    )
