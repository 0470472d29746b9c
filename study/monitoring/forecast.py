"""Forecast of how long training takes on this machine, made in seconds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from esbn_core.config import PAPER, ResolvedTrial
from esbn_core.objects import glyphs
from study.planning.speeds import reference_seconds, training_objects

_SAMPLE = PAPER.with_(task="same_different", withheld=95).resolve()
"""What is trained for a moment to compare this machine with the reference machine."""

_SLOWEST = 8
"""Times slower than the reference machine; work that is short on such a machine needs no measurement."""


@dataclass(frozen=True)
class Forecast:
    """How long trials take.

    Attributes:
        process_seconds: of one process.
        longest_seconds: of the longest trial, which no second process makes shorter.
        slots: packs that run at once on this machine.
    """

    process_seconds: float
    longest_seconds: float
    slots: int

    @property
    def seconds(self) -> float:
        """Of this machine, if nothing else runs on it."""
        return max(self.process_seconds / self.slots, self.longest_seconds)


def forecast(configs: Iterable[ResolvedTrial], tell: Callable[[str], None], least: float = 0.0) -> Forecast | None:
    """Scales the speeds of the reference machine by one measurement of this machine, which is kept.

    Args:
        configs: trials to train.
        tell: shows what is being measured.
        least: seconds; a shorter time does not matter.
    Returns:
        None if the trials surely take less than `least`; nothing is measured then.
    """
    seconds = list(map(reference_seconds, configs))
    if sum(seconds) * _SLOWEST <= least:
        return None
    from study.monitoring.cost import Speeds, packs_at_once, plain_kind  # with PyTorch, which takes seconds to import

    with Speeds(glyphs(), tell) as speeds:
        speed = speeds.of(plain_kind(_SAMPLE), training_objects(_SAMPLE), "once, to forecast the time")
    here = _SAMPLE.train.updates * speed.update_seconds + _SAMPLE.task.n_test * speed.test_seconds
    slower = here / reference_seconds(_SAMPLE)
    return Forecast(sum(seconds) * slower, max(seconds) * slower, min(packs_at_once(), len(seconds)))
