"""Error of this room, and hints at what a misspelt name may mean."""

import difflib
from collections.abc import Iterable

from esbn_core.errors import UserError


class AnalysisError(UserError):
    """Results cannot be read, asked or drawn as wanted; one sentence that says what is wrong and what would do."""


def choices(wanted: str, there: Iterable[str]) -> str:
    """Says what there is instead of an unknown name: ``"did you mean 'b'? there are: a, b"``."""
    names = sorted(there)
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}there are: {', '.join(names) or 'none'}"
