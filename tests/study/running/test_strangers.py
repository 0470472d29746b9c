"""Other users of the machine: what they can read of a run, whether they can join it, and what they can make it do."""

import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from ray.tune.experiment import Trial as TuneTrial
from repository import ROOT
from rich.console import Console
from runs import Run, descendants, wait_for

from esbn_core.errors import ConfigError
from study.planning.packs import Pack
from study.running import private
from study.running.connection import open_to_strangers
from study.running.private import FOLDER_BYTES, private_folder, protect_token
from study.running.progress import Progress
from study.running.retries import LOSSES, Failure, Retrying

STUDY = """
name: private
question: Who can reach it?
grids:
  - arms: [{updates: 100000, n_test: 20, encoder: mlp}]
    conditions: {same_different: [98]}
    seeds: 1
"""
NOBODY = 65534
AS_NOBODY = f"""
import os, sys, ray
from ray._raylet import GcsClient
if sys.argv[2] == "stranger":
    os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
print(len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)))
"""
"""Changes its user only after its imports, since another user may not reach this Python."""

by_root = pytest.mark.skipif(os.geteuid() != 0, reason="acts as another user, which only root may do")


class Live(NamedTuple):
    """A run that trains."""

    run: Run
    driver: subprocess.Popen[str]
    home: Path
    scratch: Path

    @property
    def processes(self) -> dict[int, str]:
        return {self.driver.pid: "driver", **{pid: " ".join(words) for pid, words in descendants(self.driver.pid)}}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """In folders that everyone may enter, but for that of the results, so that what Ray keeps is not hidden by them."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder, home, scratch = Path(name), Path(name) / "home", Path(name) / "s"
        folder.chmod(0o755)
        home.mkdir()
        scratch.mkdir()
        run = Run(folder, STUDY)
        Path(run.store.root).mkdir(mode=0o700)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(home))
            patch.setenv("TMPDIR", str(scratch))
            driver = run.start("run", "study.yaml", "--checkpoint-seconds", "0.2")
        try:
            wait_for(lambda: bool(run.store.checkpoints()), driver)
            yield Live(run, driver, home, scratch)
        finally:
            driver.send_signal(signal.SIGTERM)
            driver.communicate(timeout=60)


def as_nobody(*command: str) -> str:
    done = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


@pytest.mark.slow
@by_root
def test_stranger_reads_nothing_of_a_run(live: Live) -> None:
    (folder,) = live.scratch.glob("esbn-*")
    token = live.home / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and len(token.read_text()) == 64
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for command in (("cat", token), ("ls", folder), ("touch", folder / "x"), ("ls", live.run.store.root)):
        assert "Permission denied" in as_nobody(*map(str, command))


@pytest.mark.slow
@by_root
@pytest.mark.parametrize(
    ("who", "token", "joins"), [("owner", None, True), ("stranger", "", False), ("stranger", "0" * 64, False)]
)
def test_stranger_cannot_join_a_run(live: Live, who: str, token: str | None, joins: bool) -> None:
    addresses = {word for words in live.processes.values() for word in re.findall(r"--gcs-address=(\S+)", words)}
    own = (live.home / ".ray" / "auth_token").read_text() if token is None else token
    asked = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": own} if own else {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *addresses, who],
        env={**os.environ, "HOME": "/nonexistent", **asked},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode == 0) == joins, done.stderr
    if not joins:
        assert "authenticat" in done.stderr.lower(), done.stderr


@pytest.mark.slow
@by_root
def test_run_listens_on_loopback_alone(live: Live) -> None:
    listed = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    own = [line for line in listed.splitlines() if any(f"pid={pid}," in line for pid in live.processes)]
    assert len(own) > 4
    assert [line for line in own if not line.split()[3].startswith(("127.0.0.1:", "[::ffff:127.0.0.1]:"))] == []


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path):
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


class Jobs(Retrying):
    """Takes what is decided."""

    def try_again(self, index: int) -> None:
        pass

    def take_back(self) -> None:
        pass

    def give_up(self, index: int, failure: Failure) -> None:
        self.given_up = failure


def test_planted_pickle_is_not_loaded(tmp_path: Path) -> None:
    planted, exploded = tmp_path / "error.pkl", tmp_path / "exploded"
    planted.write_bytes(pickle.dumps(Bomb(exploded)))
    jobs = Jobs(Progress([Pack(())], Console(quiet=True)))
    files = {"error_file": str(tmp_path / "error.txt"), "pickled_error_file": str(planted)}
    for n in range(LOSSES + 2):
        trial = SimpleNamespace(config={"index": 0}, trial_id="0", num_failures=n + 1, max_failures=0, **files)
        (jobs.on_trial_recover if n <= LOSSES else jobs.on_trial_error)(0, [], cast(TuneTrial, trial))
    assert "Tune wrote no error file" in jobs.given_up.reason
    assert planted.exists() and not exploded.exists()
    pickle.loads(planted.read_bytes())
    assert exploded.exists(), "it would have"


@pytest.mark.parametrize("load", ["pickle.load", "torch.load(", "read_pickle", "allow_pickle=True", "joblib"])
def test_nothing_is_unpickled(load: str) -> None:
    rooms = [ROOT / room for room in ("esbn_core", "ablations", "study", "analysis")]
    sources = [path for room in rooms for path in room.rglob("*.py")]
    assert sources and [path for path in sources if load in path.read_text()] == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o600])
def test_token_that_others_can_read_is_repaired(mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    protect_token(create=True)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and token.read_text() == "secret"


def test_token_is_made_private_from_the_start_and_only_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "home" / ".ray" / "auth_token"
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    protect_token(create=False)
    assert not token.exists()
    before = os.umask(0)
    try:
        protect_token(create=True)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (token, token.parent)] == [0o600, 0o700]
    assert len(token.read_text()) == 64 and list(token.parent.iterdir()) == [token]
    written = token.read_text()
    protect_token(create=True)
    assert token.read_text() == written


def test_token_without_a_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "file" / "token"))
    with pytest.raises(ConfigError, match="set RAY_AUTH_TOKEN_PATH to a file in a folder that you own"):
        protect_token(create=True)


@pytest.mark.parametrize("home", ["/proc/nothing", "/dev/null", None])
def test_token_of_a_user_without_a_home_is_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.setattr(private, "_kept", False)  # as in a process that has not started Ray
    monkeypatch.setattr(os, "environ", {"HOME": home} if home else {})
    if home is None:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without a line in /etc/passwd
    protect_token(create=True)
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_home_that_goes_away_does_not_change_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray has read it, and would be refused by its own processes."""
    monkeypatch.setattr(private, "_kept", True)
    monkeypatch.setattr(os, "environ", {"HOME": "/dev/null"})
    with pytest.raises(ConfigError, match="Ray's token cannot be protected"):
        protect_token(create=True)


def test_temporary_folder_is_private_and_short_wherever_tmpdir_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := tmp_path / ("x" * 100)).mkdir()
    for chosen in (str(long), str(tmp_path / "missing"), ""):
        monkeypatch.setenv("TMPDIR", chosen)
        folder = Path(private_folder())
        try:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert len(str(folder)) <= FOLDER_BYTES and folder.parent in (Path("/tmp"), Path("/var/tmp"))
        finally:
            folder.rmdir()
    assert list(long.iterdir()) == []


def test_temporary_folder_without_a_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/missing")
    monkeypatch.setattr("study.running.private.FREE_BYTES", 2**62)
    with pytest.raises(ConfigError, match="TMPDIR='/missing': .* with .* MB free and a path of at most 21 bytes"):
        private_folder()


@pytest.mark.parametrize(("mode", "is_open"), [("disabled", True), ("token", False), ("TOKEN", False), (None, False)])
def test_ray_without_authentication_is_told(mode: str | None, is_open: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode is None:
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    else:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    assert ("without authentication" in (open_to_strangers(None) or "")) == is_open
