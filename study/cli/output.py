"""Answers on standard output, for people and for other programs."""

import errno
import sys

import click

from esbn_core.errors import UserError
from study.cli.console import console
from study.cli.fitting import fitted
from study.cli.working import working


def answer(text: str) -> None:
    """Prints an answer, which ends in a line break. Unlike progress messages, losing it is an error.

    Raises:
        UserError: standard output is closed, or its disk is full.
        BrokenPipeError: the reader has gone, as after ``| head``; click ends the command silently.
    """
    working.end()
    if sys.stdout is None:
        raise UserError("the answer cannot be printed: standard output is closed")
    if sys.stdout.isatty():
        text = fitted(text, console.width)
    try:
        click.echo(text, nl=False)
    except OSError as error:
        console.on_broken_pipe()  # otherwise Python tries again at exit
        if error.errno == errno.EPIPE:
            raise
        raise UserError(f"the answer cannot be printed: {error.strerror}") from None
