"""The terminal that commands print on."""

import sys

from study.running.console import LastingConsole

console = LastingConsole(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
