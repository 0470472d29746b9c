"""Console of a run. Printing never ends training."""

import os
from contextlib import suppress
from types import TracebackType

from rich.console import Console


class LastingConsole(Console):
    """A console that stays silent once printing fails, e.g. if the pipe or terminal is gone or the disk is full.

    Attributes:
        lost: the error; None if everything was printed, or the reader closed the pipe.
    """

    lost: OSError | None = None

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except OSError as error:
            self.lost = error
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Silences this console and its file, which Python flushes at exit."""
        self.quiet = True
        with suppress(OSError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.file.fileno())
            os.close(nothing)
