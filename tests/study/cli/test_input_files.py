"""Every file that a command reads for its user: whatever it is, the command ends soon and in one sentence."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from analysis_store import trial, write_study
from click.testing import CliRunner, Result

from study.cli.main import main

STUDY = "name: own\nquestion: '?'\ngrids: [{{arms: [{arm}], conditions: {{rmts: [95]}}, seeds: 1}}]\n"
HOSTS = "--head 10.0.0.1 --worker 10.0.0.2 -o {folder}/out.yaml".split()

READERS = {  # file -> the command that reads it
    "study.yaml": ["plan", "{file}"],
    "study.py": ["plan", "{file}"],
    "search.yaml": ["importance", "{file}"],
    "search.py": ["importance", "{file}"],
    "images/0.png": ["plan", "quickstart", "--images", "{folder}/images"],
    "question.sql": ["query", "--file", "{file}"],
    "check.yaml": ["cluster", "check", "{file}"],
    "roles.yaml": ["cluster", "roles", "--print", "{file}"],
    "local.yaml": ["cluster", "local", "--cluster", "{file}", *HOSTS],
    "test/dist3/m95/ESBN/run1.txt": ["import", "{folder}/test"],
    "own_file.py": ["plan", "{folder}/with_own.yaml"],
}

SPOILT: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "huge": lambda path: (path.touch(), os.truncate(path, 2**36)),
    "latin-1": lambda path: path.write_bytes("na\u00efve: [\u00e9]".encode("latin-1")),
    "utf-16": lambda path: path.write_bytes("select 1".encode("utf-16")),
    "nul": lambda path: path.write_bytes(bytes(1_000)),
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
    "secret": lambda path: (path.touch(), path.chmod(0)),
}
CASES = [(name, spoilt) for name in READERS for spoilt in SPOILT]


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A command that reads without end fails here, and not the machine."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def esbn(folder: Path, name: str) -> Result:
    arguments = [argument.format(file=folder / name, folder=folder) for argument in READERS[name]]
    if name != "local.yaml":
        arguments += ["--results", "s3://bucket/results" if arguments[0] == "cluster" else str(folder / "results")]
    return CliRunner().invoke(main, arguments)


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("name", "spoilt"), CASES)
def test_command_ends_in_a_sentence_whatever_its_file_is(tmp_path: Path, name: str, spoilt: str) -> None:
    if spoilt == "secret" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    write_study(tmp_path / "results", "s", [trial("rmts", 95, "baseline", 0, 0.9)])
    (tmp_path / "with_own.yaml").write_text(STUDY.format(arm="{model: 'own_file:Own'}"))
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    SPOILT[spoilt](path)
    result = esbn(tmp_path, name)
    assert result.exit_code in (1, 2), result.output  # 2: as `--help` says
    assert isinstance(result.exception, SystemExit)
    said = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(said) == 1
    assert any(word in said[0] for word in (path.stem, "images", "test", "sql: "))
    assert len(said[0]) < 1_000
    assert not (tmp_path / "out.yaml").exists()
