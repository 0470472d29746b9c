"""Warning before long training, and the question whether to begin it."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from study.cli.console import console
from study.cli.working import working

if TYPE_CHECKING:
    from esbn_core.config import ResolvedTrial

LONG = 3600.0
"""Seconds of training that a person is warned of."""

YES = click.option("--yes", "-y", is_flag=True, help="Do not ask before training that takes more than an hour.")


def consent(work: str, configs: "Iterable[ResolvedTrial]", yes: bool, address: str | None) -> None:
    """Says how long training takes, if that is more than an hour; at a terminal, asks whether to begin.

    A job has nobody to ask, so it goes on.

    Args:
        work: what would be trained, to begin a sentence.
        yes: whether the answer is known.
        address: of the Ray cluster that trains; None: this machine does.
    Raises:
        Abort: the answer is no.
    """
    from study.monitoring.forecast import forecast
    from study.planning.speeds import rough

    predicted = forecast(configs, working.tell, LONG)
    if predicted is None or predicted.seconds < LONG:
        return
    where = f"on this machine, {predicted.slots} packs at a time"
    if address:
        where = f"on one machine like this one, {predicted.slots} packs at a time; a cluster is faster"
    console.print(f"{work}: about {rough(predicted.seconds)} {where}; this may be off by a factor of 2.")
    if not yes and sys.stdin is not None and sys.stdin.isatty() and console.is_terminal:
        click.confirm("Begin?", abort=True)
    working.begin(work)
