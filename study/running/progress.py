"""Progress display of a run: live on a terminal, otherwise plain lines."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from study.planning.packs import Pack

PLAIN_SECONDS = 60.0  # between two reports of progress where there is no terminal
LINES = 8  # of packs, in such a report
SETTLED = 10.0  # seconds of training before the time left is estimated
TOLERANCE = 1.2  # by which an estimate may exceed the last one, less the time since, before it is shown


class Work(NamedTuple):
    """A pack or a suggestion, as far as the time left depends on it.

    Attributes:
        cost: of all of it, in any unit.
        made: share that is made.
        own: share that this run made itself.
    """

    cost: float
    made: float
    own: float


class Display(AbstractContextManager["Display"]):
    """Shows a headline and, on a terminal, a line for each running pack or suggestion.

    Packs and suggestions are identified by their index.
    """

    def __init__(self, console: Console):
        self._console = console
        self._reports: dict[int, dict[str, Any]] = {}
        self._first: dict[int, int] = {}  # update of the first report, where a stopped pack continued
        self._running: set[int] = set()
        self._began, self._printed = time.monotonic(), time.monotonic()
        self._most_running = 1
        self._left: tuple[float, float] | None = None  # seconds, and when they were estimated
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
        self._most_running = max(self._most_running, len(self._running))

    def reported(self, i: int, report: dict[str, Any]) -> None:
        """Takes a progress report of pack i."""
        if "update" in report:
            self._first.setdefault(i, 0 if "test_accuracy" in report else report["update"])
            self._reports[i] = report
        if not self._console.is_terminal and time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            lines = [f"  {self._line(i, self._reports.get(i, {}))}" for i in sorted(self._running)]
            self._console.print("\n".join([self._headline(), *lines[:LINES]]), highlight=False, markup=False)

    def lost(self, i: int) -> None:
        """Notes that pack i has lost its worker and waits for a new one."""
        self._running.discard(i)

    def ended(self, i: int, error: str | None = None) -> None:
        """Notes that pack i has ended; `error`: why it was given up."""
        self._running.discard(i)

    @abstractmethod
    def _counts(self) -> str:
        """Counts all packs or suggestions by how far they are."""

    @abstractmethod
    def _work(self) -> Sequence[Work]:
        """Returns all packs or suggestions, those to come included."""

    @abstractmethod
    def _line(self, i: int, report: dict[str, Any]) -> str:
        """Names pack i and its progress, from its last report."""

    def _headline(self) -> str:
        elapsed = f"{duration(time.monotonic() - self._began)} elapsed"
        left = self._seconds_left()
        return f"{self._counts()}; {elapsed}" + ("" if left is None else f", about {duration(left)} left")

    def _seconds_left(self) -> float | None:
        """Estimates from the speed so far: all slots share what is left, and the longest pack has one of them."""
        now, work = time.monotonic(), self._work()
        own, elapsed = sum(one.cost * one.own for one in work), now - self._began
        if not own or elapsed < SETTLED:
            return None
        left = [one.cost * (1 - one.made) for one in work]
        seconds = elapsed / own * max(sum(left), max(left) * self._most_running)
        if self._left is not None:
            expected = max(0.0, self._left[0] - (now - self._left[1]))
            seconds = expected if expected <= seconds <= TOLERANCE * expected else seconds
        self._left = seconds, now
        return seconds

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        work = self._work()
        made = sum(one.cost * one.made for one in work) / (sum(one.cost for one in work) or 1)
        table.add_row(ProgressBar(total=1, completed=made, width=40))
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
        self._given_up: set[int] = set()

    def ended(self, i: int, error: str | None = None) -> None:
        """Prints the result of pack i; `error`: why it was given up."""
        super().ended(i)
        self._ended.add(i)
        if error:
            self._given_up.add(i)
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

    def _work(self) -> list[Work]:
        work = []
        for i, pack in enumerate(self._packs):
            updates = pack.trials[0].config.train.updates or 1
            at = updates if i in self._ended else self._reports.get(i, {}).get("update", 0)
            own = 0 if i in self._given_up else max(0, at - self._first.get(i, 0))
            work.append(Work(pack.cost, at / updates, own / updates))
        return work

    def _counts(self) -> str:
        running = sum(len(self._packs[i].trials) for i in self._running)
        total = sum(len(pack.trials) for pack in self._packs)
        left = total - self._done - self._failed - running
        return f"trials: {self._done} done, {running} running, {self._failed} failed, {left} waiting"

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
