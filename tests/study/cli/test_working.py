"""What a command is doing, told while it prints nothing."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.cli import working as module
from study.cli.working import Working

SLOW_COMMAND = """
import sys, time
from study.cli.main import main
from study.cli import results
results.query.callback = lambda **_: (time.sleep({seconds}), results.answer("answered\\n"))
main(["query", "select 1"], prog_name="esbn")
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.05)


def test_working_is_silent_about_what_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    working = Working()
    working.begin("reading")
    working.end()
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_working_says_once_what_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    working = Working()
    working.begin("reading")
    time.sleep(0.6)
    working.tell("drawing")  # too soon after the first line to be a second one
    time.sleep(0.4)
    working.end()
    assert capsys.readouterr().err == "reading ...\n"


def test_working_says_what_is_done_next_and_reminds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN", 0.2)
    monkeypatch.setattr(module, "_REMIND_SECONDS", 1.0)
    working = Working()
    working.begin("reading")
    time.sleep(0.5)
    working.tell("drawing")
    time.sleep(2.0)
    working.end()
    assert capsys.readouterr().err.splitlines()[:3] == ["reading ...", "drawing ...", "drawing ..."]


def test_command_says_within_a_second_that_it_is_at_work_and_answers_on_standard_output_alone() -> None:
    code = SLOW_COMMAND.format(seconds=3)
    began = time.monotonic()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True) as run:
        assert run.stderr and run.stdout
        assert run.stderr.readline() == "esbn query ...\n"
        assert time.monotonic() - began < 3, "it came with the answer"
        assert run.stdout.read() == "answered\n"


def test_line_on_a_terminal_is_gone_when_the_answer_comes(tmp_path: Path) -> None:
    main, terminal = pty.openpty()
    code = SLOW_COMMAND.format(seconds=2)
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=terminal, text=True, check=True)
    os.close(terminal)
    shown = os.read(main, 100_000).decode()
    assert run.stdout == "answered\n"
    assert "esbn query" in shown
    assert shown.rstrip().endswith("\x1b[2K"), "the line is cleared"
