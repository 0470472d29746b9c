"""Signals to a run: Ctrl-C and SIGTERM end it in order, a hangup does not end it."""

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
ENDING_SECONDS = 15.0  # in which a run that was stopped ends, and is not to be stopped again


class Stops:
    """Raises `KeyboardInterrupt` at the first of the signals that stop a run.

    Those that follow, as when Ctrl-C is pressed thrice, would interrupt the end of the run, so they are ignored.
    """

    def __init__(self) -> None:
        self.number: int = signal.SIGINT
        """The signal that has come."""
        self._came = -ENDING_SECONDS
        if _in_main_thread():
            for number in STOPPING:
                signal.signal(number, self._stop)

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.number

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._came > ENDING_SECONDS:
            self.number, self._came = number, time.monotonic()
            raise KeyboardInterrupt


def exit_stopped(code: int) -> NoReturn:
    """Exits after a stop without destroying what C++ holds.

    A stop in the middle of `ray.init` leaves threads of Ray that nobody can end, and that crash while it is destroyed.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # gone or closed
            stream.flush()
    os._exit(code)


def ignore_stops() -> None:
    """Ignores them from now on, as this process exits."""
    if _in_main_thread():
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts signal handlers back that Ray replaces as it starts, and lets neither it nor this process end by a hangup.

    Processes inherit what is ignored, so what Ray starts meanwhile does not end by one, either.
    """
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminated = False
    try:
        yield
    except SystemExit:  # by which Ray's own handler answers SIGTERM
        terminated = True
    finally:
        for number, handler in before.items():
            if handler is not None:  # one of C
                signal.signal(number, handler)
        signal.signal(signal.SIGHUP, _go_on if hangup in (signal.SIG_DFL, None) else hangup)
    if terminated:
        signal.raise_signal(signal.SIGTERM)


def _go_on(number: int, frame: FrameType | None) -> None:
    """Says where it can that the run goes on; `print` cannot be used, since the signal may have interrupted one."""
    with suppress(OSError):
        os.write(STANDARD_ERROR, f"Hung up; the run goes on. `kill {os.getpid()}` stops it.\n".encode())


def _in_main_thread() -> bool:
    """Whether Python allows handlers to be set here."""
    return threading.current_thread() is threading.main_thread()
