"""The terminal that commands print on."""

import sys
from typing import Any

from study.cli.working import working
from study.running.console import LastingConsole


class _CommandConsole(LastingConsole):
    """Ends what `working` shows before it prints."""

    def print(self, *objects: Any, **how: Any) -> None:
        working.end()
        super().print(*objects, **how)


_terminal = sys.stdout is not None and sys.stdout.isatty()
console = _CommandConsole(highlight=False, markup=False, soft_wrap=True, width=None if _terminal else 160)
