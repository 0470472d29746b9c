"""Repairs of the environment of a command: closed streams, narrow encodings, a missing home."""

import codecs
import io
import os
import sys
from pathlib import Path

_PLAIN = str.maketrans({"─": "-", "—": "-", "±": "+-"})  # signs of our tables
_ERRORS = "esbn.plain"


def prepare() -> None:
    """Gives the process a home and three open standard streams that print any text."""
    for descriptor in range(3):
        _open_if_closed(descriptor)
    if sys.stderr is None:  # Ray writes to it; commands report a closed standard output themselves
        sys.stderr = open(2, "w", closefd=False)
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    try:
        Path.home()
    except RuntimeError:  # neither HOME nor a line in /etc/passwd, as in some containers
        os.environ["HOME"] = "/"


def _open_if_closed(descriptor: int) -> None:
    """Opens a closed descriptor, so that no later file gets its number and is a child's standard stream."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _plain(error: UnicodeError) -> tuple[str, int]:
    r"""Returns the replacement for characters that an encoding lacks: a plain sign, or ``\u03b1``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end
