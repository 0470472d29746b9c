"""Signals to a run: Ctrl-C and SIGTERM end it cleanly; a hangup does not end it."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

STANDARD_ERROR = 2  # its file number

STOPPING = (signal.SIGINT, signal.SIGTERM)
ENDING_SECONDS = 15.0  # for a stopped run to end; further stops are ignored


class Stops:
    """Raises `KeyboardInterrupt` at the first signal that stops a run.

    Later signals, e.g. from pressing Ctrl-C again, are ignored: they would interrupt the clean end of the run.
    """

    def __init__(self) -> None:
        self.number: int = signal.SIGINT
        """The signal received."""
        self._came = -ENDING_SECONDS
        if _in_main_thread():
            for number in STOPPING:
                signal.signal(number, self._stop)

    @property
    def exit_code(self) -> int:
        """Exit code by the shell convention: 128 + signal."""
        return 128 + self.number

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._came > ENDING_SECONDS:
            self.number, self._came = number, time.monotonic()
            raise KeyboardInterrupt


def exit_stopped(code: int) -> NoReturn:
    """Exits after a stop without running C++ destructors.

    A stop during `ray.init` leaves Ray threads that cannot be ended and that crash during destruction.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # gone or closed
            stream.flush()
    os._exit(code)


def ignore_stops() -> None:
    """Ignores further stop signals while this process exits."""
    if _in_main_thread():
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restores signal handlers that Ray replaces as it starts, and makes both Ray and this process ignore a hangup.

    Child processes inherit ignored signals, so the processes that Ray starts survive a hangup, too.
    """
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminated = False
    try:
        yield
    except SystemExit:  # raised by Ray's own SIGTERM handler
        terminated = True
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: a handler set in C
                signal.signal(number, handler)
        signal.signal(signal.SIGHUP, _go_on if hangup in (signal.SIG_DFL, None) else hangup)
    if terminated:
        signal.raise_signal(signal.SIGTERM)


def _go_on(number: int, frame: FrameType | None) -> None:
    """Reports that the run continues. Does not use `print`, since the signal may have interrupted one."""
    with suppress(OSError):
        os.write(STANDARD_ERROR, f"Terminal closed; the run continues. `kill {os.getpid()}` stops it.\n".encode())


def _in_main_thread() -> bool:
    """Returns whether Python allows setting signal handlers here."""
    return threading.current_thread() is threading.main_thread()
