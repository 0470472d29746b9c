"""Real runs that are stopped, lose whoever reads what they print, or lose parts of Ray: how they end and what they say.

Faults that strike at a random moment are in test_survival.py.
"""

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune.error import TuneError
from rich.console import Console
from runs import Run, descendants, wait_for, without_news

from study.running import connection, ray_session
from study.running.console import LastingConsole

pytestmark = pytest.mark.slow

STUDY = """
name: supervised
question: Does a run end as it should?
grids:
  - arms: [{updates: 200, n_test: 20, encoder: mlp}]
    conditions: {same_different: [95, 98]}
    seeds: 1
"""
COMMAND = ("run", "study.yaml", "--pack", "1", "--checkpoint-seconds", "0.2")
STARTING = "supervised: 2 of 2 trials to train; Ray starts\n"
INTERRUPTED = "Stopped. Run the same command again to continue from the results in the store.\n"
TRAINED = "2 trials: 2 completed, 0 failed, 0 missing"


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where runs put their temporary folders; a path that is short enough for Ray."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of Ray that miss its control service wait for 25 s, not for 60; a driver takes less in any case."""
    assert connection.LOCAL_PATIENCE + connection.DEAF_SECONDS < 25
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "25")


@pytest.fixture
def run(tmp_path: Path, scratch: Path) -> Run:
    return Run(tmp_path, STUDY)


def training(run: Run) -> bool:
    """Whether a pack has got so far that it is in a checkpoint."""
    return Path(run.store.root).exists() and bool(run.store.checkpoints())


def processes(driver: subprocess.Popen[str], what: str = "") -> list[int]:
    return [pid for pid, arguments in descendants(driver.pid) if what in arguments[0]]


def wait_until_gone(pids: list[int], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
        time.sleep(0.1)


def assert_trained(run: Run) -> None:
    assert {row["status"] for row in run.rows().values()} == {"completed"} and len(run.rows()) == 2
    assert run.store.checkpoints() == set() and run.store.leases() == {}


@pytest.mark.parametrize("sent", [[signal.SIGTERM], [signal.SIGINT] * 3], ids=["SIGTERM", "Ctrl-C thrice"])
def test_run_that_is_stopped_says_so_once_and_leaves_nothing(
    sent: list[signal.Signals], run: Run, scratch: Path
) -> None:
    driver = run.start(*COMMAND)
    wait_for(lambda: training(run), driver)
    ours = processes(driver)
    (folder,) = scratch.glob("esbn-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    for number in sent:
        driver.send_signal(number)
        time.sleep(0.3)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 128 + sent[0], output
    assert output.endswith(INTERRUPTED)
    assert output.count("Stopped") == 1 and "Traceback" not in output and "***" not in output
    wait_until_gone(ours)
    assert list(scratch.glob("esbn-*")) == [] and run.store.leases() == {}


def test_run_that_is_terminated_while_ray_starts_says_so_and_leaves_nothing(run: Run, scratch: Path) -> None:
    """Ray has its own answer to the signal then, which is to exit with 15 and without a word."""
    driver = run.start(*COMMAND)
    wait_for(lambda: bool(processes(driver, "gcs_server")), driver)
    ours = processes(driver)
    driver.terminate()
    output, _ = driver.communicate(timeout=60)
    assert (driver.returncode, without_news(output)) == (143, STARTING + INTERRUPTED)
    wait_until_gone(ours)
    assert list(scratch.glob("esbn-*")) == [] and run.store.leases() == {}


INTERRUPTED_START = """
import os, signal, sys
import ray._raylet
from study.cli.main import main

make = ray._raylet.CoreWorker

def make_and_interrupt(*arguments, **settings):
    made = make(*arguments, **settings)
    os.kill(os.getpid(), signal.SIGINT)
    return made  # in vain

ray._raylet.CoreWorker = make_and_interrupt
main(sys.argv[1:])
"""


def test_run_that_is_interrupted_while_ray_starts_its_threads_does_not_crash(run: Run, scratch: Path) -> None:
    """Nobody can end these threads, and they crashed as the process exited."""
    command = [sys.executable, "-c", INTERRUPTED_START, *COMMAND, "--results", run.store.root]
    ended = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, without_news(ended.stderr)) == (130, "")
    assert ended.stdout == STARTING + INTERRUPTED
    assert list(scratch.glob("esbn-*")) == [] and run.store.leases() == {}


def close_pipe(run: Run) -> tuple[int, str]:
    driver = run.start(*COMMAND)
    assert driver.stdout
    first = driver.stdout.readline()
    driver.stdout.close()
    return driver.wait(200), first


def hang_up(run: Run) -> tuple[int, str]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, for one, ignores it
    try:
        driver = run.start(*COMMAND)
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(lambda: training(run), driver)
    for pid in [driver.pid, *processes(driver)]:  # as a terminal does
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
    output, _ = driver.communicate(timeout=200)
    assert f"Terminal closed; the run continues. `kill {driver.pid}` stops it." in output and TRAINED in output
    return driver.returncode, output


def close_terminal(run: Run) -> tuple[int, str]:
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(run.folder)
        os.execv(Path(sys.executable).with_name("esbn"), ["esbn", *COMMAND])
    while not training(run):
        os.read(terminal, 2**16)  # a display that nobody reads would wait
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), ""


@pytest.mark.parametrize("lose", [close_pipe, hang_up, close_terminal], ids=lambda lose: lose.__name__)
def test_run_goes_on_when_nobody_reads_what_it_prints(lose: Callable[[Run], tuple[int, str]], run: Run) -> None:
    code, output = lose(run)
    assert code == 0, output
    assert_trained(run)


STARTED_AGAIN = "Ray Tune stopped (its processes have died or cannot be reached); restarting it"
STOPPED = "Error: Ray stopped (its processes have died or cannot be reached); results are stored; run the same command"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("process", ["gcs_server", "raylet/raylet"])
def test_run_starts_ray_again_when_it_has_died(process: str, run: Run, scratch: Path) -> None:
    """Or says that it has died, if it does so while the driver waits inside Ray, which cannot be interrupted."""
    driver = run.start(*COMMAND)
    wait_for(lambda: training(run), driver)
    ours = processes(driver)
    for pid in processes(driver, process):
        os.kill(pid, signal.SIGKILL)
    output, _ = driver.communicate(timeout=200)
    assert (STARTED_AGAIN if driver.returncode == 0 else STOPPED) in output and "Traceback" not in output
    if driver.returncode == 0:
        assert TRAINED in output
        assert_trained(run)
    wait_until_gone(ours, seconds=120)  # processes of Ray wait for its control service first
    assert list(scratch.glob("esbn-*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk, which only root may do")
def test_run_goes_on_when_its_temporary_folder_is_full(run: Run, scratch: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(scratch)], check=True)
    try:
        driver = run.start(*COMMAND)
        wait_for(lambda: training(run), driver)
        with suppress(OSError), open(scratch / "filler", "wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        output, _ = driver.communicate(timeout=200)
    finally:
        subprocess.run(["umount", "--lazy", str(scratch)], check=True)
    assert driver.returncode == 0, output
    assert TRAINED in output and "Traceback" not in output
    assert_trained(run)


@pytest.mark.parametrize("device", ["/dev/full", "closed pipe"])
def test_console_falls_silent_when_it_cannot_print(device: str) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with open("/dev/full" if device == "/dev/full" else writable, "w") as file:
        console = LastingConsole(file=file)
        for _ in range(3):
            console.print("more than nobody reads")
        file.write("and what is printed without it")
    with suppress(OSError):
        os.close(writable)


@pytest.mark.usefixtures("impatient")
def test_run_that_cannot_start_ray_again_ends_in_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (home := run.folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(home))
    driver = run.start(*COMMAND)
    wait_for(lambda: training(run), driver)
    (home / ".ray").rename(home / "away")
    (home / ".ray").write_text("in the way")
    for pid in processes(driver, "gcs_server"):
        os.kill(pid, signal.SIGKILL)
    output, _ = driver.communicate(timeout=200)
    assert driver.returncode == 1 and "Traceback" not in output
    if STOPPED in output:  # the driver was waiting inside Ray; its lease is dead, since it is
        return
    assert re.search(
        r"^Error: Ray Tune stopped \(.+\) and cannot continue: Ray's token cannot .*; results are stored; run the same",
        output,
        re.MULTILINE,
    ), output
    assert run.store.leases() == {}


def test_tune_that_stops_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts from the last job that ended; the reason is one line, though Tune raises tracebacks."""
    started = list[str | None]()
    monkeypatch.setattr(ray_session, "connect", started.append)
    jobs = SimpleNamespace(ended=set(), take_back=lambda: None)
    session = ray_session.Session(None, cast(Any, None), cast(Any, None), Console(quiet=True))

    def stop(*_: Any, **__: Any) -> None:
        if len(started) == 2:
            jobs.ended.add(0)
        raise TuneError("Traceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left on device")

    monkeypatch.setattr(ray_session, "watch", lambda patience: nullcontext())
    monkeypatch.setattr(ray_session.tune, "with_parameters", stop)
    monkeypatch.setattr(ray_session.ray, "is_initialized", lambda: False)
    with pytest.raises(ray_session.RunError, match=r"stopped \(OSError: .*\), 4 times in a row; results are stored"):
        for _ in range(100):
            session.run(lambda config: None, {}, cast(Any, jobs))
    assert len(started) == 1 + ray_session.RESTARTS + 1, "of which the second ended a job"


PATCHED = """
import sys
from study.running import connection, ray_session
from study.cli.main import main
{patch}
main(sys.argv[1:])
"""


def run_patched(run: Run, patch: str, *environment: tuple[str, str]) -> subprocess.Popen[str]:
    """Starts a run in which workers cannot start as they should."""
    return subprocess.Popen(
        [sys.executable, "-c", PATCHED.format(patch=patch), *COMMAND, "--results", run.store.root],
        cwd=run.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **dict(environment)},
    )


def test_run_whose_workers_never_start_says_what_ray_says(run: Run, scratch: Path) -> None:
    patch = "connection.shlex.quote = lambda path: '/nowhere/python'\nray_session.START_SECONDS = 8.0"
    driver = run_patched(run, patch)
    assert driver.stdout
    said = next(line for line in driver.stdout if line.startswith("No worker has started"))
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert said.startswith("No worker has started after 8 s; Ray's log says: ") and "/nowhere/python" in said


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "Fatal Python error: Segmentation fault"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ],
)
def test_worker_that_dies_as_it_starts_is_no_failure_of_its_trial(
    death: str, reason: str, run: Run, scratch: Path
) -> None:
    (run.folder / "deadly").mkdir()
    (run.folder / "deadly" / "deadly_hook.py").write_text(f"def start() -> None:\n    {death}\n")
    driver = run_patched(run, "connection.HOOK = 'deadly_hook.start'", ("PYTHONPATH", str(run.folder / "deadly")))
    output, _ = driver.communicate(timeout=200)
    assert driver.returncode == 1, output
    last = output.splitlines()[-1]
    assert last.startswith("Error: no worker could train on this machine: it lost 6 workers in a row, the last by: ")
    assert reason in last and "Traceback" not in output and "raylet" not in output
    assert run.rows() == {} and run.store.leases() == {}, "so the same command trains all of it"
