"""The Makefile in a small checkout with its own build backend: real make, venv and pip, and no network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("make"), reason="needs make")]

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "small"
version = "1"
optional-dependencies = { dev = [] }
"""
BACKEND = """
import zipfile
from pathlib import Path

FILES = {
    "small.pth": str(Path.cwd()),
    "small-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\nProvides-Extra: dev\\n",
    "small-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "small-1.dist-info/entry_points.txt": "[console_scripts]\\nesbn = small:main\\n",
}


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    names = [*FILES, "small-1.dist-info/RECORD"]
    with zipfile.ZipFile(Path(wheel_directory, "small-1-py3-none-any.whl"), "w") as wheel:
        for name in names:
            wheel.writestr(name, FILES.get(name, "".join(f"{file},,\\n" for file in names)))
    return "small-1-py3-none-any.whl"
"""
HOSTILE = {
    "PIP_USER": "1",
    "PIP_TARGET": "{folder}/target",
    "PIP_PREFIX": "{folder}/prefix",
    "PIP_ROOT": "{folder}/root",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_NO_BUILD_ISOLATION": "1",
    "PIP_CONSTRAINT": "/nothing.txt",
    "PIP_CONFIG_FILE": "{folder}/pip.conf",
    "PYTHONPATH": "{folder}/path",
    "VIRTUAL_ENV": "/nothing",
    "CONDA_PREFIX": "/nothing",
}
CONFIG = "[install]\nuser = true\n"


def make(folder: Path, *options: str, **environment: str) -> list[str]:
    """Sets the checkout up; returns the commands that it took."""
    command = ["make", "--no-print-directory", *options, ".venv/installed"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}  # `make test`
    done = subprocess.run(command, cwd=folder, env={**ours, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("make: ")]


def where(folder: Path) -> str:
    """The checkout that the command of a checkout belongs to."""
    return subprocess.run([folder / ".venv/bin/esbn"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Set up once, in a hostile environment and a folder with a space and an accent."""
    folder = tmp_path_factory.mktemp("made") / "mes études"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "small.py").write_text("def main():\n    print(__file__.rpartition('/')[0])\n")
    (folder / "constraints.txt").touch()
    (folder / "pip.conf").write_text(CONFIG)
    (folder / "path").mkdir()
    (folder / "path" / "pip.py").write_text("raise ImportError('another pip')")
    assert make(folder, **{name: value.format(folder=folder) for name, value in HOSTILE.items()})
    return folder


def test_make_installs_into_the_checkout_whatever_pip_is_told(checkout: Path) -> None:
    assert {path.name for path in checkout.iterdir()}.isdisjoint({"target", "prefix", "root"})
    assert where(checkout) == str(checkout)


def test_make_leaves_a_whole_environment_alone(checkout: Path) -> None:
    assert make(checkout) == []


def test_make_repairs_the_environment_of_a_copy(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "une copie déplacée"
    shutil.copytree(checkout, folder, symlinks=True)
    assert where(folder) == str(checkout)
    assert make(folder)[0] == "rm -rf .venv"
    assert where(folder) == str(folder)
    assert make(folder) == []


@pytest.mark.parametrize("gone", ["python", "esbn", "installed"])
def test_make_sets_up_again_what_is_not_whole(checkout: Path, gone: str) -> None:
    path = checkout / ".venv" / ("installed" if gone == "installed" else f"bin/{gone}")
    aside = path.rename(path.with_name("aside"))
    if gone == "python":
        path.symlink_to("/nothing/python3")
    try:
        commands = make(checkout, "--dry-run")
    finally:
        aside.replace(path)
    assert commands[-1] == "touch .venv/installed"
    assert (commands[0] == "rm -rf .venv") == (gone != "installed")
