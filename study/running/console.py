"""Console of a run. Printing never ends training."""

import os
from contextlib import suppress
from types import TracebackType

from rich.console import Console


class LastingConsole(Console):
    """Goes on in silence once nothing can be printed, as when the pipe or terminal is gone or the disk full.

    Attributes:
        lost: why; None as long as all was printed, or nobody wanted to read on.
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
        """Turns this console silent, and what else is printed on its file, which Python flushes as it exits."""
        self.quiet = True
        with suppress(OSError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.file.fileno())
            os.close(nothing)
