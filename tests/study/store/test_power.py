"""Power cut: what a command has reported is on the disk, whatever the disk had not written yet."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from analysis_store import curve, trial, write_study
from click.testing import CliRunner
from debian import install

from study.cli.main import main
from study.store.bundle import export_bundle
from study.store.compact import compact
from study.store.schema import TABLES
from study.store.store import Store

PLANNED = [trial("rmts", 95, "baseline", seed, 0.9) for seed in range(20)]
STUDY = """
name: tiny
question: Is it on the disk?
grids:
  - arms: [{updates: 12, n_test: 100}]
    conditions: {same_different: [98]}
    seeds: 2
"""


def written(folder: Path) -> Store:
    store = Store(write_study(folder, "s", PLANNED))
    for row in PLANNED:
        store.write("curves", row["trial_id"], curve(row["trial_id"], [0.25, 0.5]))
    return store


def write(folder: Path) -> None:
    written(folder / "results")


def write_and_compact(folder: Path) -> None:
    compact(written(folder / "results"), lambda _: None)


def export(folder: Path) -> None:
    export_bundle(written(folder / "results"), folder / "all.zip", [], None)


def save_checkpoint(folder: Path) -> None:
    written(folder / "results").save_checkpoint("pack", os.urandom(10**6))


def hold_lease(folder: Path) -> None:
    store = written(folder / "results")
    store.write_lease("run", "{}" * 1000)


@pytest.mark.parametrize("command", [write, write_and_compact, export, save_checkpoint, hold_lease])
def test_each_file_is_synced_before_it_is_named_and_its_name_before_anything_is_deleted(
    tmp_path: Path, command: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    unsynced_names: set[str] = set()
    replaced, fsync, remove = os.replace, os.fsync, Store._remove

    def record_sync(file: int) -> None:
        fsync(file)
        path = os.readlink(f"/proc/self/fd/{file}")
        synced.add(path)
        unsynced_names.difference_update({name for name in unsynced_names if os.path.dirname(name) == path})

    def record_replace(source: str, target: str) -> None:
        assert source in synced, f"{target} had a name before its content was on the disk"
        replaced(source, target)
        unsynced_names.add(target)

    def record_remove(store: Store, path: str) -> None:
        assert not unsynced_names, f"{path} was deleted before {unsynced_names} were on the disk"
        remove(store, path)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    monkeypatch.setattr(Store, "_remove", record_remove)
    command(tmp_path)
    there = {str(path) for path in tmp_path.rglob("*")}
    assert there and not unsynced_names
    folders = {str(path.parent) for path in tmp_path.rglob("*")} - {str(tmp_path.parent)}
    assert folders <= synced  # and so the names of folders themselves


def shell(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


class Disk:
    """A file system on a file, which can be looked at as a power cut at this moment would leave it."""

    def __init__(self, folder: Path, kind: str):
        self._folder, self._image = folder, folder / "disk.img"
        self._options = "loop,nouuid" if kind == "xfs" else "loop"  # xfs mounts no two disks that are alike
        with self._image.open("wb") as image:
            image.truncate(400 * 2**20)
        shell(f"mkfs.{kind}", "-q", self._image)
        self.path = folder / "disk"
        self.path.mkdir()
        shell("mount", "-o", "loop", self._image, self.path)

    @contextmanager
    def after_power_cut(self) -> Iterator[Path]:
        copy, mounted = self._folder / "copy.img", self._folder / "copy"
        shutil.copy(self._image, copy)
        mounted.mkdir()
        shell("mount", "-o", self._options, copy, mounted)
        try:
            yield mounted
        finally:
            shell("umount", mounted)
            mounted.rmdir()
            copy.unlink()

    def close(self) -> None:
        shell("umount", self.path)


def rows(results: Path) -> dict[str, list[dict[str, Any]]]:
    store = Store(str(results))
    return {table: sorted(store.read(table).to_pylist(), key=repr) for table in TABLES}


def esbn(*arguments: str | Path) -> None:
    """Runs a command; in a process of its own if it starts Ray."""
    if arguments[0] == "run":
        program = Path(sys.executable).with_name("esbn")
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk, for which it has to be root")
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_a_command_reports_survives_a_power_cut(tmp_path: Path, kind: str) -> None:
    if not shutil.which(f"mkfs.{kind}") and (why := install(["e2fsprogs" if kind == "ext4" else "xfsprogs"])):
        pytest.skip(f"mkfs.{kind} is not installed: {why}")
    written(tmp_path / "source")
    compact(Store(str(tmp_path / "source")), lambda _: None)
    study = tmp_path / "tiny.yaml"
    study.write_text(STUDY)
    disk = Disk(tmp_path, kind)
    try:
        results = disk.path / "results"
        shutil.copytree(tmp_path / "source", results)
        shell("sync", "-f", disk.path)
        for command in (
            ("run", study, "--results", results),
            ("compact", "--results", results),
            ("export", disk.path / "tiny.zip", "tiny", "--results", results),
            ("import", disk.path / "tiny.zip", "--results", disk.path / "again"),
            ("figures", "tiny", "--results", results, "-o", disk.path / "figures"),
            ("report", "tiny", "--results", results, "-o", disk.path / "report"),
        ):
            esbn(*command)
            for wait in (0, 7) if command[0] in ("run", "compact") else (0,):  # ext4 writes its names every 5 s
                time.sleep(wait)
                with disk.after_power_cut() as copy:
                    for store in (path for path in disk.path.iterdir() if (path / "trials").is_dir()):
                        assert rows(copy / store.name) == rows(store), command
                    for file in (path for path in disk.path.rglob("*") if path.suffix in (".zip", ".png", ".html")):
                        assert (copy / file.relative_to(disk.path)).read_bytes() == file.read_bytes(), command
    finally:
        disk.close()
