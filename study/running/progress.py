"""Progress display of a run: live on a terminal, otherwise plain lines."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from study.planning.packs import Pack

PLAIN_SECONDS = 20.0  # between two lines of progress without a terminal


class Display(AbstractContextManager["Display"]):
    """Shows a headline and, on a terminal, a line for each running pack or suggestion.

    Packs and suggestions are identified by their index.
    """

    def __init__(self, console: Console):
        self._console = console
        self._reports: dict[int, dict[str, Any]] = {}
        self._running: set[int] = set()
        self._began, self._printed = time.monotonic(), time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, i: int) -> None:
        """Notes that pack i has got its worker."""
        self._running.add(i)

    def reported(self, i: int, report: dict[str, Any]) -> None:
        """Takes a progress report of pack i."""
        if "update" in report:
            self._reports[i] = report
        if not self._console.is_terminal and time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._console.print(self._headline())

    def lost(self, i: int) -> None:
        """Notes that pack i has lost its worker and waits for a new one."""
        self._running.discard(i)

    def ended(self, i: int, error: str | None = None) -> None:
        """Notes that pack i has ended; `error`: why it was given up."""
        self._running.discard(i)

    @abstractmethod
    def _headline(self) -> str:
        """Counts all packs and estimates the time left."""

    @abstractmethod
    def _line(self, i: int, report: dict[str, Any]) -> str:
        """Names pack i and its progress, from its last report."""

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(self._headline())
        for i in sorted(self._running):
            table.add_row(f"  {self._line(i, self._reports.get(i, {}))}")
        return table


class Progress(Display):
    """Counts done, running, failed and waiting trials, estimates the time left, and prints the result of each pack."""

    def __init__(self, packs: Sequence[Pack], console: Console):
        super().__init__(console)
        self._packs = packs
        self._ended: set[int] = set()
        self._done, self._failed = 0, 0
        self._first: dict[int, int] = {}

    def reported(self, i: int, report: dict[str, Any]) -> None:
        """Takes a progress report of pack i."""
        if "update" in report:
            self._first.setdefault(i, 0 if "test_accuracy" in report else report["update"])
        super().reported(i, report)

    def ended(self, i: int, error: str | None = None) -> None:
        """Prints the result of pack i; `error`: why it was given up."""
        super().ended(i)
        self._ended.add(i)
        size = len(self._packs[i].trials)
        report = self._reports.get(i, {})
        failures = [error] * size if error else report.get("failed", [None] * size)
        n_failed = sum(failure is not None for failure in failures)
        self._failed += n_failed
        self._done += size - n_failed
        scores = report.get("test_accuracy", [None] * size)
        shown = ", ".join("failed" if f else f"{100 * a:.1f} %" for a, f in zip(scores, failures, strict=True))
        self._console.print(f"  {self._packs[i]}: test accuracy {shown}", highlight=False, markup=False)
        for failure in dict.fromkeys(f for f in failures if f):
            self._console.print(f"    failed: {failure}", highlight=False, markup=False)

    def _share(self, i: int) -> tuple[float, float]:
        """Returns the share of pack i's updates made so far, and the share made by this run."""
        updates = self._packs[i].trials[0].config.train.updates or 1
        at = updates if i in self._ended else self._reports.get(i, {}).get("update", 0)
        return at / updates, (at - self._first.get(i, 0)) / updates

    def _seconds_left(self) -> float | None:
        shares = [self._share(i) for i in range(len(self._packs))]
        own = sum(pack.cost * mine for pack, (_, mine) in zip(self._packs, shares, strict=True))
        left = sum(pack.cost * (1 - made) for pack, (made, _) in zip(self._packs, shares, strict=True))
        elapsed = time.monotonic() - self._began
        return left * elapsed / own if own and elapsed > 10 else None

    def _headline(self) -> str:
        running = sum(len(self._packs[i].trials) for i in self._running)
        total = sum(len(pack.trials) for pack in self._packs)
        left = total - self._done - self._failed - running
        seconds = self._seconds_left()
        clock = "estimating the time left" if seconds is None else f"about {duration(seconds)} left"
        return f"trials: {self._done} done, {running} running, {self._failed} failed, {left} waiting; {clock}"

    def _line(self, i: int, report: dict[str, Any]) -> str:
        accuracies = report.get("accuracy", [])
        training = f"training accuracy {100 * sum(accuracies) / len(accuracies):.0f} %" if accuracies else ""
        updates = self._packs[i].trials[0].config.train.updates
        return f"{self._packs[i]}: update {report.get('update', 0)}/{updates} {training}"


def duration(seconds: float) -> str:
    """Returns a duration in words."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
