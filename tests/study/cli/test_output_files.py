"""What a command writes for its user: a file is whole, or the old one; an answer is printed, or it is an error."""

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from analysis_store import proven, write_study
from click.testing import CliRunner, Result
from repository import ROOT
from runs import without_news

from study.cli.main import main
from study.store.store import Store

WRITERS = {  # a file that a command writes: the command
    "answer.csv": ["query", "select range i from range(20000)", "--format", "csv", "-o", "{out}/answer.csv"],
    "accuracy.png": ["figures", "s", "-o", "{out}"],
    "index.html": ["report", "s", "-o", "{out}"],
    "local.yaml": ["cluster", "local", "--head", "h", "--worker", "w", "-o", "{out}/local.yaml"],
    "search.db": ["search", "mine", "--export-optuna", "{out}/search.db"],
    "search.log": ["search", "mine", "--export-optuna", "{out}/search.log"],
}
NEW = ("search.db", "search.log")  # replaces nothing


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a study and a search."""
    rows = [proven("same_different", 5, arm, seed, 0.9) for arm in ("baseline", "tcn=none") for seed in (0, 1)]
    folder = write_study(tmp_path_factory.mktemp("results"), "s", rows)
    about = {"search": "mine", "seeds": [1000], "distributions": "{}", "definition": '{"parameters": {}}'}
    at = datetime(2024, 1, 1, tzinfo=UTC)
    suggestions = [
        {
            **{"search": "mine", "suggestion": i, "status": "completed", "parameters": "{}", "accuracy": 0.5},
            **{"arm": "baseline", "suggested_at": at, "finished_at": at, "failure": "x" * 5_000},
        }
        for i in range(10)
    ]
    Store(folder).write("searches", "mine", [about])
    for row in suggestions:
        Store(folder).write("suggestions", f"mine-{row['suggestion']:04d}", [row])
    return folder


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with 2 kB of space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=True)
    with open(disk / "filler", "wb") as filler:
        filler.write(b"x" * 60 * 2**10)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def esbn(name: str, results: str, out: Path) -> Result:
    arguments = [argument.format(out=out) for argument in WRITERS[name]]
    return CliRunner().invoke(main, arguments if arguments[0] == "cluster" else [*arguments, "--results", results])


@pytest.mark.parametrize("name", WRITERS)
def test_file_has_the_usual_permissions_and_nothing_is_beside_it(results: str, tmp_path: Path, name: str) -> None:
    out, usual = tmp_path / "out", tmp_path / "usual"
    out.mkdir()
    usual.touch()
    assert esbn(name, results, out).exit_code == 0
    assert (out / name).stat().st_mode == usual.stat().st_mode
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk, which only root may do")
@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_keeps_the_old_file_and_no_part_of_the_new_one(results: str, full_disk: Path, name: str) -> None:
    if name not in NEW:
        (full_disk / name).write_text("old")
    result = esbn(name, results, full_disk)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert "cannot be written: No space left on device" in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert {path.name for path in full_disk.iterdir()} == {"filler", *([] if name in NEW else [name])}
    assert name in NEW or (full_disk / name).read_text() == "old"


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "pipe"),
    "device": (lambda path: path.symlink_to("/dev/full"), "device"),
    "folder": (Path.mkdir, "folder|directory"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_but_a_file_is_replaced(results: str, tmp_path: Path, name: str, special: str) -> None:
    make, words = SPECIAL[special]
    make(tmp_path / name)
    before = (tmp_path / name).stat()
    result = esbn(name, results, tmp_path)
    assert result.exit_code in (1, 2)  # 2: as `--help` says
    assert isinstance(result.exception, SystemExit)
    assert any(word in result.output for word in [*words.split("|"), "exists already"])
    after = (tmp_path / name).stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


ANSWERS = {
    "table": "table s --results {results}",
    "audit": "audit s --results {results} --format csv",
    "query": "query 'select range i from range(20000)' --results {results} --format json",
    "figures": "figures s --results {results} -o {out}",
    "roles": "cluster roles --results s3://bucket/results --print",
}
SENTENCES = {
    ">/dev/full": "Error: the answer cannot be printed: No space left on device\n",
    "| true": "",  # as is usual
}


@pytest.mark.slow
@pytest.mark.parametrize("where", SENTENCES)
@pytest.mark.parametrize("command", ANSWERS)
def test_answer_that_cannot_be_printed_is_one_sentence_and_exit_code_1(
    results: str, tmp_path: Path, command: str, where: str
) -> None:
    start = f"{shlex.quote(sys.executable)} -c 'from study.cli.main import main; main(prog_name=\"esbn\")'"
    arguments = ANSWERS[command].format(results=shlex.quote(results), out=tmp_path)
    script = f"set -o pipefail; {start} {arguments} {where}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, without_news(done.stderr)) == (1, SENTENCES[where])


@pytest.mark.parametrize("command", ["list", "plan quickstart", "status --results {results}", "query --schema"])
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_list_that_cannot_be_printed_is_one_sentence_at_most(results: str, command: str, where: str) -> None:
    script = f"{shlex.quote(str(Path(sys.executable).with_name('esbn')))} {command.format(results=results)} {where}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    if where == ">/dev/full":
        refusal = "Error: the answer cannot be printed: No space left on device\n"
        assert (done.returncode, without_news(done.stderr)) == (1, refusal)
    assert len(without_news(done.stderr).splitlines()) <= 1
