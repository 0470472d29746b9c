"""Error of this room, and hints for misspelt names."""

import difflib
from collections.abc import Iterable

from esbn_core.errors import UserError


class AnalysisError(UserError):
    """Results cannot be read, queried or drawn as requested; one sentence says what is wrong and what to do."""


def choices(wanted: str, there: Iterable[str]) -> str:
    """Returns a hint for an unknown name: ``"did you mean 'b'? available: a, b"``."""
    names = sorted(there)
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}available: {', '.join(names) or 'none'}"
