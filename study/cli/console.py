"""The terminal that commands print on."""

import sys

from rich.console import Console

console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
