"""Progress of a search on the terminal."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from study.running.progress import Display, Work
from study.searching.suggestions import ENDED, Suggestions


class SearchProgress(Display):
    """Counts suggestions by status, estimates the time left, and prints the result of each."""

    def __init__(self, suggestions: Suggestions, console: Console):
        super().__init__(console)
        self._suggestions = suggestions
        self._told = {row["suggestion"] for row in suggestions.rows if row["status"] in ENDED}
        self._before = set(range(len(suggestions.rows)))

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._tell()

    def started(self, i: int) -> None:
        """Notes that suggestion i has got its worker."""
        super().started(i)
        self._tell()

    def ended(self, i: int, error: str | None = None) -> None:
        """Notes that suggestion i has ended; its row says how."""
        super().ended(i)
        self._tell()

    def _tell(self) -> None:
        """Prints the suggestions that have ended since the last call, including twins."""
        for row in self._suggestions.rows:
            if row["status"] in ENDED and row["suggestion"] not in self._told:
                self._told.add(row["suggestion"])
                self._console.print(f"  {outcome(row)}", highlight=False, markup=False)

    def _work(self) -> list[Work]:
        """Counts a suggestion as one, however early it was pruned."""
        work = []
        for i, row in enumerate(self._suggestions.rows):
            made = 1.0 if row["status"] in ENDED else self._reports.get(i, {}).get("update", 0) / (row["updates"] or 1)
            begun = self._first.get(i, 0) / (row["updates"] or 1) if i in self._before else 0.0
            work.append(Work(1.0, made, max(0.0, made - begun) if i in self._first else 0.0))
        to_come = self._suggestions.space.suggestions - len(work)
        return work + [Work(1.0, 0.0, 0.0)] * max(0, to_come)

    def _counts(self) -> str:
        wanted, states = self._suggestions.space.suggestions, [row["status"] for row in self._suggestions.rows]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ENDED)
        return f"suggestions: {counts}, {len(self._running)} running, {max(0, wanted - len(states))} to come"

    def _line(self, i: int, report: dict[str, Any]) -> str:
        row = self._suggestions.rows[i]
        return f"{i}: {values(row)}: update {report.get('update', 0)}/{row['updates']}"


def outcome(row: Mapping[str, Any]) -> str:
    """Returns one line on the result of a suggestion."""
    if row["status"] == "failed":
        return f"{row['suggestion']}: {values(row)}: failed: {row['failure']}"
    twin = "" if row["same_as"] is None else f" (the same trials as {row['same_as']})"
    spread = "" if row["spread"] is None else f" (sd {100 * row['spread']:.1f} over {len(row['accuracies'])} seeds)"
    at = f"pruned at update {row['update']}" if row["status"] == "pruned" else row["status"]
    accuracy = f"validation accuracy {100 * row['accuracy']:.1f} %{spread}"
    return f"{row['suggestion']}: {values(row)}: {at}: {accuracy}{twin}"


def values(row: Mapping[str, Any]) -> str:
    """Returns the values of a suggestion as text."""
    parameters = json.loads(row["parameters"])
    return ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in parameters.items())
