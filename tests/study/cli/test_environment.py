"""Commands where the terminal, the environment or the caller is not as usual."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from analysis_store import trial, write_study
from repository import ROOT
from runs import without_news

from study.cli.environment import prepare
from study.store.store import Store

ESBN = shlex.quote(str(Path(sys.executable).with_name("esbn")))
RUN = """
name: small
question: Does it run?
grids: [{arms: [{updates: 2, n_test: 20, encoder: random}], conditions: {same_different: [98]}, seeds: 1}]
"""


def shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", script], cwd=folder, env={**os.environ, **environment}, capture_output=True)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "cp437", "euc-jp", "utf-8", "utf-16"])
def test_every_text_can_be_printed_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    printed = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", printed)
    prepare()
    print("── ± — k₁ 99.5 \udcff \N{SNOWMAN} 字")
    assert "99.5" in printed.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_table_is_printed_in_the_encoding_of_the_terminal(tmp_path: Path, encoding: str) -> None:
    write_study(tmp_path / "results", "s", [trial("rmts", 95, "baseline", 0, 0.9)])
    done = shell(f"{ESBN} table s", tmp_path, PYTHONIOENCODING=encoding, COLUMNS="1", TERM="dumb", NO_COLOR="1")
    assert (done.returncode, without_news(done.stderr.decode())) == (0, "")
    assert b"baseline" in done.stdout
    assert encoding == "ascii" or b"90.0 \xb1" in done.stdout


CLOSED = """
import os, subprocess, sys
from pathlib import Path
from study.cli.environment import prepare
prepare()
with open("later") as file:
    assert file.fileno() > 2
subprocess.run([sys.executable, "-c", "print('from the child', flush=True)"], check=True)
print("said", file=sys.stderr)
Path("done").touch()
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path, closed: str) -> None:
    (tmp_path / "later").touch()
    done = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(CLOSED)} {closed}", tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "done").exists()


@pytest.mark.slow
def test_study_is_run_without_streams_home_cache_and_with_a_long_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(RUN)
    long = tmp_path / ("x" * 130)
    long.mkdir()
    places = {"HOME": "/proc/nothing", "XDG_CACHE_HOME": "/proc/nothing", "TMPDIR": str(long)}
    done = shell(f"{ESBN} run small.yaml <&- >&- 2>&-", tmp_path, **places)
    assert done.returncode == 0
    assert Store(str(tmp_path / "results")).read("trials")["status"].to_pylist() == ["completed"]


def test_package_is_run_like_the_command() -> None:
    command = [sys.executable, "-m", "study.cli"]
    done = subprocess.run([*command, "list"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "quickstart" in done.stdout
    done = subprocess.run([*command, "nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "Usage: esbn [OPTIONS] COMMAND [ARGS]...")
