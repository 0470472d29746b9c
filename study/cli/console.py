"""The terminal that commands print on."""

import sys

from study.running.console import LastingConsole

_terminal = sys.stdout is not None and sys.stdout.isatty()
console = LastingConsole(highlight=False, markup=False, soft_wrap=True, width=None if _terminal else 160)
