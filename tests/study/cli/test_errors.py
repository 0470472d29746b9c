"""What is printed of an error that no command expects: of the system's a sentence, of ours a request to report it."""

import errno
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from repository import ROOT
from runs import without_news

from study.cli.main import main

PYTHON = shlex.quote(sys.executable)


def esbn_raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    """Runs a command that raises an error."""

    @click.command("broken")
    @click.argument("words", nargs=-1)
    def broken(words: tuple[str, ...]) -> None:
        raise error

    monkeypatch.setitem(main.commands, "broken", broken)
    monkeypatch.setattr(sys, "argv", ["/somewhere/esbn", "broken", "two words", "it's", "\x1b[31m"])
    return CliRunner().invoke(main, sys.argv[1:])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "a/b"), "'a/b' cannot be used: No such file"),
        (PermissionError(errno.EACCES, "Permission denied", b"a\xff"), r"'a\udcff' cannot be used: Permission denied"),
        (OSError(errno.EXDEV, "Cross-device link", "a", None, "b"), "'a' and 'b' cannot be used: Cross-device link"),
        (OSError(errno.ENOSPC, "No space left on device"), "system error: No space left on device"),
        (OSError(errno.EMFILE, "Too many open files", 7), "system error: Too many open files"),
        (OSError("Arrow says\x1b[31m no"), r"system error: Arrow says\x1b[31m no"),
        (ConnectionError(), "system error: ConnectionError"),
        (TimeoutError("timed out"), "system error: timed out"),
    ],
    ids=str,
)
def test_error_of_the_system_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: OSError, sentence: str) -> None:
    result = esbn_raising(monkeypatch, error)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {sentence}\n")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("odd"),
        KeyError("x"),
        MemoryError(),
        RecursionError("deep"),
        UnicodeDecodeError("utf-8", b"", 0, 1, ""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_fault_of_ours_asks_for_a_report_with_version_and_command(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    result = esbn_raising(monkeypatch, error)
    assert (result.exit_code, result.stdout) == (1, "")
    *lines, request = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith(type(error).__name__)
    assert request == (
        "This is a bug in esbn-study; please report it with the lines above and these details: "
        f"esbn-study {version('esbn-study')}, Python {platform.python_version()}, "
        r"""esbn broken 'two words' 'it'"'"'s' '\x1b[31m'"""
    )


@pytest.mark.parametrize("code", [0, 1, 3])
def test_exit_codes_of_commands_are_kept(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    result = esbn_raising(monkeypatch, SystemExit(code))
    assert (result.exit_code, result.output) == (code, "")


def test_answer_that_nobody_reads_on_ends_quietly() -> None:
    script = f"set -o pipefail; {PYTHON} -m study.cli query --schema | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (len(done.stdout.splitlines()), without_news(done.stderr)) == (1, "")


@pytest.mark.parametrize("arguments", ["plan nosuch", "nonsense", "query 'select nonsense'"])
def test_error_that_cannot_be_printed_keeps_its_exit_code(tmp_path: Path, arguments: str) -> None:
    script = f"{PYTHON} -m study.cli {arguments} --results {tmp_path} 2>/dev/full"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
