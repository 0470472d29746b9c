"""The commit that a result names: that of the checkout which holds and tracks the code, or none."""

import importlib.util
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from study.store import provenance as ours

AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
NONE = {"commit": None, "dirty": None}


@pytest.fixture(autouse=True)
def no_settings_of_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *AUTHOR, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path, *files: str) -> str:
    """Makes a repository with one commit of these files; returns the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet")
    (folder / "of_its_own.txt").write_text("1")
    git(folder, "add", "of_its_own.txt", *files)
    git(folder, "commit", "--quiet", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


def code_in(folder: Path) -> ModuleType:
    """A copy of the module that asks, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(shutil.copy(ours.__file__, folder))
    spec = importlib.util.spec_from_file_location("copied_provenance", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(module: ModuleType) -> dict[str, object]:
    return {name: module.provenance()[name] for name in NONE}


def test_checkout_that_tracks_the_code_is_recorded(tmp_path: Path) -> None:
    module = code_in(tmp_path / "a b" / "étude" / "store")
    commit = repository(tmp_path / "a b", "étude/store/provenance.py")
    assert recorded(module) == {"commit": commit, "dirty": False}
    (tmp_path / "a b" / "new.txt").write_text("untracked")
    assert recorded(module) == {"commit": commit, "dirty": False}
    (tmp_path / "a b" / "of_its_own.txt").write_text("2")
    assert recorded(module) == {"commit": commit, "dirty": True}


@pytest.mark.parametrize("ignored", [True, False])
def test_repository_around_an_installed_package_is_not_recorded(tmp_path: Path, ignored: bool) -> None:
    repository(tmp_path)
    (tmp_path / ".gitignore").write_text(".venv\n" if ignored else "")
    module = code_in(tmp_path / ".venv" / "lib" / "site-packages" / "study" / "store")
    assert recorded(module) == NONE


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "{other}/.git"},
        {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}"},
        {"GIT_WORK_TREE": "{other}"},
        {"GIT_INDEX_FILE": "{other}/.git/index"},
        {"GIT_COMMON_DIR": "{other}/.git"},
        {"GIT_OBJECT_DIRECTORY": "{other}/.git/objects"},
        {"GIT_NAMESPACE": "other", "GIT_PREFIX": "other/"},
        {"GIT_CEILING_DIRECTORIES": "{own}/study"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.worktree", "GIT_CONFIG_VALUE_0": "{other}"},
        {"GIT_LITERAL_PATHSPECS": "1", "GIT_TRACE": "1", "GIT_EXTERNAL_DIFF": "false"},
    ],
    ids=" ".join,
)
def test_variables_of_git_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    own, other, alone = tmp_path / "own", tmp_path / "other", tmp_path / "alone"
    module, installed = code_in(own / "study" / "store"), code_in(alone / "store")
    commit = repository(own, "study/store/provenance.py")
    code_in(other / "store")
    repository(other, "store/provenance.py")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(own=own, other=other))
    assert recorded(module) == {"commit": commit, "dirty": False}
    assert recorded(installed) == NONE


def _nothing(folder: Path) -> None:
    (folder / "git").symlink_to("/nothing")


def _script(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "git").write_text(f"#!/bin/sh\n{text}\n")
        (folder / "git").chmod(stat.S_IRWXU)

    return write


@pytest.mark.parametrize(
    "make",
    [
        _nothing,
        _script("exec /bin/sleep 5"),
        _script("/bin/sleep 5 & /bin/sleep 5"),
        _script("kill -9 $$"),
        _script("echo 'fatal: detected dubious ownership in repository' >&2; exit 128"),
        lambda folder: (folder / "git").mkdir(),
        lambda folder: (folder / "git").write_bytes(b"\0not a program"),
    ],
    ids=["missing", "hangs", "hangs with a child", "is killed", "refuses", "is a folder", "is no program"],
)
def test_git_that_does_not_answer_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    module = code_in(tmp_path / "own")
    repository(tmp_path / "own", "provenance.py")
    (tmp_path / "bin").mkdir()
    make(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "SECONDS", 0.3)
    assert recorded(module) == NONE


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, which only root may do")
def test_checkout_of_another_user_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = code_in(tmp_path / "own")
    repository(tmp_path / "own", "provenance.py")
    monkeypatch.setenv("HOME", str(tmp_path))  # where no folder is called safe
    for path in (tmp_path / "own", tmp_path / "own" / ".git"):
        os.chown(path, 65534, 65534)
    assert recorded(module) == NONE


def test_repository_without_a_commit_is_not_recorded(tmp_path: Path) -> None:
    module = code_in(tmp_path / "own")
    git(tmp_path / "own", "init", "--quiet")
    git(tmp_path / "own", "add", "provenance.py")
    assert recorded(module) == NONE
