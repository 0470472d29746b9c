"""Files that a user names: what is refused, and that a file is whole or the old one."""

import os
import stat
from pathlib import Path

import pytest

from esbn_core.errors import UserError
from esbn_core.files import write_file


def test_write_file_makes_and_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    for data in (b"first", memoryview(b"the second"), b""):
        write_file(path, data)
        assert path.read_bytes() == bytes(data)
    assert os.listdir(tmp_path) == ["out.csv"]


def test_write_file_gives_a_new_file_the_usual_permissions_and_an_old_one_its_own(tmp_path: Path) -> None:
    new, usual = tmp_path / "new", tmp_path / "usual"
    usual.touch()
    write_file(new, b"")
    assert new.stat().st_mode == usual.stat().st_mode
    new.chmod(0o640)
    write_file(new, b"again")
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_write_file_replaces_what_a_link_points_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/file", tmp_path / "link"
    link.symlink_to("there/file")
    write_file(link, b"through the link")
    assert link.is_symlink() and target.read_bytes() == b"through the link"


def test_write_file_takes_the_longest_name_there_may_be(tmp_path: Path) -> None:
    write_file(tmp_path / ("n" * 255), b"data")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"data"


@pytest.mark.parametrize(("special", "word"), [("folder", "a folder"), ("pipe", "a pipe"), ("device", "a device")])
def test_write_file_replaces_nothing_but_a_regular_file(tmp_path: Path, special: str, word: str) -> None:
    path = tmp_path / "target"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "device": lambda: path.symlink_to("/dev/full")}[special]()
    before = path.stat()
    with pytest.raises(UserError, match=f"target' is {word}"):
        write_file(path, b"data")
    after = path.stat()
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)
    assert os.listdir(tmp_path) == ["target"]


def test_write_file_leaves_the_old_file_when_it_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):  # after the temporary file was made
        write_file(path, object())  # type: ignore[arg-type]
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["kept"]
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "no folder/file", b"data")
