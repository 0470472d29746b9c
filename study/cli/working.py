"""What a command is doing while it prints nothing, told on the error output."""

import math
import sys
import threading
import time
from contextlib import suppress

import click
from rich.console import Console
from rich.text import Text

FIRST_SECONDS = 0.4
"""Silence before the first line; starting Python takes about as long again."""

_SECONDS_BETWEEN = 10.0  # lines, where there is no terminal
_REMIND_SECONDS = 60.0


class Working:
    """A line with the time elapsed, on a terminal until the command prints, elsewhere now and then."""

    def __init__(self) -> None:
        self._text = ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._written, self._said = -math.inf, ""  # the last line, where there is no terminal

    def begin(self, text: str) -> None:
        """Begins to say what is being done."""
        self.end()
        self._text, self._written, self._said = text, -math.inf, ""
        self._go_on()

    def _go_on(self) -> None:
        self._over = threading.Event()
        if sys.stderr is not None:
            self._thread = threading.Thread(target=self._show, args=(self._over,), daemon=True)
            self._thread.start()

    def tell(self, text: str) -> None:
        """Says what is being done now."""
        self._text = text

    def note(self, text: str) -> None:
        """Prints a line on the error output, and goes on."""
        self.end()
        click.echo(text, err=True)
        self._go_on()

    def end(self) -> None:
        """Clears the line, so that the command can print."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def _show(self, over: threading.Event) -> None:
        if over.wait(FIRST_SECONDS):
            return
        with suppress(OSError, ValueError):  # nobody can read it
            console = Console(file=sys.stderr, soft_wrap=True)
            (self._show_line if console.is_terminal else self._write_lines)(console, over)

    def _show_line(self, console: Console, over: threading.Event) -> None:
        began = time.monotonic()
        with console.status(Text(self._text)) as status:
            while not over.wait(0.2):
                seconds = time.monotonic() - began
                status.update(Text(f"{self._text}{f' ({seconds:.0f} s)' if seconds > 3 else ''}"))

    def _write_lines(self, console: Console, over: threading.Event) -> None:
        while True:
            since = time.monotonic() - self._written
            if since > _REMIND_SECONDS or (self._text != self._said and since > _SECONDS_BETWEEN):
                console.print(Text(f"{self._text} ..."))
                self._written, self._said = time.monotonic(), self._text
            if over.wait(0.2):
                return


working = Working()
