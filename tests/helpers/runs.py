"""`esbn` in processes of its own, as a user runs it, and what may be killed of them."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from study.planning.declarations import find_study
from study.planning.plan import plan
from study.store.store import Store


class Run:
    """`esbn` in a process of its own, in an empty folder."""

    def __init__(self, folder: Path, study: str):
        self.study = folder / "study.yaml"
        self.study.write_text(study)
        self.folder = folder
        self.store = Store(str(folder / "results"))
        self.trials = plan(find_study(str(self.study)))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("esbn")), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def rows(self) -> dict[str, dict[str, Any]]:
        rows = self.store.read("trials").to_pylist()
        assert len(rows) == len({row["trial_id"] for row in rows}), "one row a trial"
        return {row["trial_id"]: row for row in rows}


def without_news(stderr: str) -> str:
    """Removes the lines that say what a command is doing, which only one that takes a while prints."""
    return re.sub(r"(?m)^.+ \.\.\.\n", "", stderr)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited five minutes"
        time.sleep(0.05)


def descendants(pid: int) -> Iterator[tuple[int, list[str]]]:
    """Pids and arguments of a process's children, theirs, and so on; the first argument is the program."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for child, parent in (line.split() for line in listed.splitlines()):
        children.setdefault(int(parent), []).append(int(child))
    below = [pid]
    while below:
        for child in children.get(below.pop(), []):
            below.append(child)
            yield child, _arguments(child)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")  # a path may have spaces
    except OSError:  # it has just ended
        return [""]
