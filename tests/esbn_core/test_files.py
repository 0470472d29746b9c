"""Files that a user names: what is refused, and that a file is whole or the old one."""

import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from esbn_core.errors import ConfigError, UserError
from esbn_core.files import MOST_BYTES, read_file, read_text, write_file

NOBODY = 65534

SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read: No such file"),
    "folder": (Path.mkdir, "cannot be read: Is a directory"),
    "pipe": (os.mkfifo, "is a pipe; name a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device; name a regular file"),
    "terminal": (lambda path: path.symlink_to("/dev/ptmx"), "is a device; name a regular file"),
    "loop": (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    "sparse": (lambda path: (path.touch(), os.truncate(path, 2**40)), "has more than 1,048,576 bytes"),
    "endless": (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read: Input/output error"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("read", [read_file, read_text], ids=["bytes", "text"])
def test_read_refuses_what_is_no_bounded_file(
    tmp_path: Path, read: Callable[[Path, str], object], special: str
) -> None:
    path = tmp_path / "input"
    make, why = SPECIAL[special]
    make(path)
    with pytest.raises(ConfigError) as refused:
        read(path, "images")
    assert str(refused.value).startswith(f"images={str(path)!r} {why}")


def test_read_says_when_it_may_not(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch()
    path.chmod(0)
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(ConfigError, match="secret' cannot be read: Permission denied"):
            read_file(path, "file")
    finally:
        os.seteuid(me)


def test_read_takes_what_is_just_small_enough(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"x" * MOST_BYTES)
    assert len(read_file(path, "file")) == MOST_BYTES
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(ConfigError, match="has more than 1,048,576 bytes; name a smaller file"):
        read_file(path, "file")


@pytest.mark.parametrize("data", [b"a\nb\n", b"\xef\xbb\xbfa\nb\n", b"a\r\nb\r\n", b"a\rb\r"])
def test_read_text_takes_every_mark_and_line_end(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "input").write_bytes(data)
    assert read_text(tmp_path / "input", "file") == "a\nb\n"


@pytest.mark.parametrize(
    "data", ["na\u00efve".encode("latin-1"), "select".encode("utf-16"), b"a\0", b"\xed\xa0\x80", b"\x80"]
)
def test_read_text_names_the_byte_that_is_not_utf8(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "input").write_bytes(data)
    with pytest.raises(ConfigError, match=r"input' is not UTF-8 text \(byte \d: .*\); save it as UTF-8"):
        read_text(tmp_path / "input", "file")


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


def test_write_file_leaves_the_old_file_when_there_is_no_space(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_file(path, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["kept"]
