"""Progress of a search on the terminal: a live display, or plain lines where there is no terminal."""

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from study.progress import PLAIN_SECONDS, duration
from study.suggestions import ENDED, Suggestions


class SearchProgress(AbstractContextManager["SearchProgress"]):
    """Counts suggestions by what became of them, guesses the time left, and tells what each came to."""

    def __init__(self, suggestions: Suggestions, console: Console):
        self._suggestions, self._console = suggestions, console
        self._reports: dict[int, dict[str, Any]] = {}
        self._running: set[int] = set()
        self._told = {row["suggestion"] for row in suggestions.rows if row["status"] in ENDED}
        self._before = len(self._told)
        self._began, self._printed = time.monotonic(), time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._tell()

    def started(self, i: int) -> None:
        """Suggestion i has got its worker."""
        self._running.add(i)
        self._tell()

    def reported(self, i: int, report: dict[str, Any]) -> None:
        """Suggestion i told how far it is."""
        self._reports[i] = report
        if not self._console.is_terminal and time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._console.print(self._headline())

    def lost(self, i: int) -> None:
        """Suggestion i has lost its worker and waits for another."""
        self._running.discard(i)

    def ended(self, i: int, error: str | None = None) -> None:
        """Suggestion i is over; its row says how."""
        self._running.discard(i)
        self._tell()

    def _tell(self) -> None:
        """Prints the suggestions that have ended since the last time, twins of others included."""
        for row in self._suggestions.rows:
            if row["status"] in ENDED and row["suggestion"] not in self._told:
                self._told.add(row["suggestion"])
                self._console.print(f"  {outcome(row)}", highlight=False, markup=False)

    def _headline(self) -> str:
        wanted, states = self._suggestions.space.suggestions, [row["status"] for row in self._suggestions.rows]
        ended = sum(states.count(state) for state in ENDED)
        seconds = time.monotonic() - self._began
        left = max(0, wanted - ended) * seconds / (ended - self._before) if ended > self._before else None
        clock = "working out the time left" if left is None else f"about {duration(left)} left"
        counts = ", ".join(f"{states.count(state)} {state}" for state in ENDED)
        return f"suggestions: {counts}, {len(self._running)} running, {wanted - len(states)} to come; {clock}"

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(self._headline())
        for i in sorted(self._running):
            row, report = self._suggestions.rows[i], self._reports.get(i, {})
            table.add_row(f"  {i}: {values(row)}: update {report.get('update', 0)}/{row['updates']}")
        return table


def outcome(row: Mapping[str, Any]) -> str:
    """What a suggestion came to, in a line."""
    if row["status"] == "failed":
        return f"{row['suggestion']}: {values(row)}: failed: {row['failure']}"
    twin = "" if row["same_as"] is None else f" (the same trials as {row['same_as']})"
    spread = "" if row["spread"] is None else f" (sd {100 * row['spread']:.1f} over {len(row['accuracies'])} seeds)"
    at = f"pruned at update {row['update']}" if row["status"] == "pruned" else row["status"]
    accuracy = f"validation accuracy {100 * row['accuracy']:.1f} %{spread}"
    return f"{row['suggestion']}: {values(row)}: {at}: {accuracy}{twin}"


def values(row: Mapping[str, Any]) -> str:
    """The values of a suggestion, in words."""
    parameters = json.loads(row["parameters"])
    return ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in parameters.items())
