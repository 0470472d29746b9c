"""Answers on the standard output, for people and for other programs."""

import errno
import sys

import click

from esbn_core.errors import UserError
from study.cli.console import console
from study.cli.working import working


def answer(text: str) -> None:
    """Prints an answer, which ends in a line break. Unlike news of a run, it must get through.

    Raises:
        UserError: the standard output is closed, or its disk is full.
        BrokenPipeError: nobody reads any more, as after ``| head``; click ends the command without a word.
    """
    working.end()
    if sys.stdout is None:
        raise UserError("the answer cannot be printed: standard output is closed")
    try:
        click.echo(text, nl=False)
    except OSError as error:
        console.on_broken_pipe()  # or Python tries again at its exit
        if error.errno == errno.EPIPE:
            raise
        raise UserError(f"the answer cannot be printed: {error.strerror}") from None
