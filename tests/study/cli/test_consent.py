"""Training that takes long is announced, and asked about at a terminal alone. Nothing is trained here."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ESBN = str(Path(sys.executable).with_name("esbn"))
COMMANDS = [
    ["topup", "encoders", "--budget", "60"],
    ["run", "paper"],
    ["run", "tcn", "--task", "rmts", "--withheld", "50", "--tuned"],
    ["search", "LONG"],
]
LONG_SEARCH = """
name: long
task: rmts
withheld: 0
parameters: {learning_rate: {low: 1e-5, high: 1e-2, log: true}}
suggestions: 500
"""


def command(folder: Path, arguments: list[str]) -> list[str]:
    (folder / "long.yaml").write_text(LONG_SEARCH)
    named = [str(folder / "long.yaml") if argument == "LONG" else argument for argument in arguments]
    return [ESBN, *named, "--results", str(folder / "results")]


def read_until(source: int, words: bytes, seconds: float) -> bytes:
    """Reads what is printed until the words come; what has come by then if they do not."""
    text, deadline = b"", time.monotonic() + seconds
    while words not in text and (left := deadline - time.monotonic()) > 0:
        if select.select([source], [], [], left)[0]:
            try:
                text += os.read(source, 10_000)
            except OSError:  # the process has ended, and with it the terminal
                break
    return text


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_terminal_is_asked_before_long_training_and_no_means_no(tmp_path: Path, arguments: list[str]) -> None:
    main, terminal = pty.openpty()
    with subprocess.Popen(command(tmp_path, arguments), stdin=terminal, stdout=terminal, stderr=terminal) as run:
        os.close(terminal)
        text = read_until(main, b"Begin?", 120)
        assert b"Begin?" in text, text
        assert b" hours" in text or b" days" in text, text
        os.write(main, b"n\n")
        read_until(main, b"never printed", 60)
        assert run.wait(60) == 1
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_job_is_told_and_goes_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path, COMMANDS[0]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        text = read_until(run.stdout.fileno(), b"to train; Ray starts", 120)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=120)
    first, second = text.decode().splitlines()[:2]
    assert first.startswith("510 networks of encoders to train, then at most 60 for later looks: about ")
    assert second == "encoders: 510 of 510 trials to train; Ray starts"
