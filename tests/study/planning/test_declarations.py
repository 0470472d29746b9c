"""Studies of the user's own, as YAML or Python files, and what lies beside them."""

import subprocess
import sys
from pathlib import Path

import pytest

from ablations import REGISTRY
from esbn_core.errors import ConfigError
from study.planning.declarations import find_study
from study.planning.plan import plan

YAML = """
name: key_size
question: How small can the keys be?
grids:
  - arms: [{}, {key_size: 64}, {confidence: off, learning_rate: 5e-5}]
    conditions: {distribution_of_three: [95]}
    seeds: 2
"""

PYTHON = """
from ablations import Grid, Study

STUDY = Study(
    name="key_size",
    question="How small can the keys be?",
    grids=[Grid(arms=[{"key_size": size} for size in (16, 64)], conditions={"rmts": (95,)}, seeds=3)],
)
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_find_study_knows_the_declared_ones() -> None:
    assert find_study("quickstart") is REGISTRY["quickstart"]


def test_find_study_reads_yaml_with_its_words_and_numbers(tmp_path: Path) -> None:
    study = find_study(write(tmp_path, "mine.yaml", YAML))
    trials = plan(study)
    assert {t.arm for t in trials} == {"baseline", "key_size=64", "confidence=off,learning_rate=5e-05"}
    assert len(trials) == 6


def test_find_study_reads_python(tmp_path: Path) -> None:
    assert {t.arm for t in plan(find_study(write(tmp_path, "mine.py", PYTHON)))} == {"key_size=16", "key_size=64"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", YAML.replace("key_size: 64", "key_siz: 64"), "key_siz=64.*did you mean key_size"),
        ("a.yaml", YAML.replace("seeds: 2", "seeds: none"), "seeds='none' must be a whole number"),
        ("a.yaml", YAML.replace("grids:", "grid:"), r"grid=\[.* is not a field of a study; did you mean grids"),
        ("a.yaml", YAML.replace("How small can the keys be?", "2021"), "question=2021 must be text"),
        ("a.yaml", YAML.replace("seeds: 2", "keys: off"), "keys='off' must be true or false"),
        (
            "a.yaml",
            YAML.replace("key_size: 64", "model: lstm").replace("seeds: 2", "keys: true"),
            "model='lstm' has no keys to record; leave keys out of this grid",
        ),
        (
            "a.yaml",
            YAML.replace("{distribution_of_three: [95]}", "{}"),
            "conditions={} must give at least one task a list",
        ),
        ("a.py", "raise SystemExit(0)", "stopped with SystemExit"),
        ("a.yaml", YAML.replace("[95]", "95"), r"conditions.distribution_of_three=95 must be a list of numbers"),
        (
            "a.yaml",
            YAML.replace("[{}, {key_size: 64}, {confidence: off, learning_rate: 5e-5}]", "{}"),
            "list of changes",
        ),
        ("a.yaml", YAML.replace("distribution_of_three", "raven"), "task='raven' is unknown"),
        ("a.yaml", YAML.replace("key_size\nq", "tcn\nq"), "name='tcn' is the name of a built-in study"),
        ("a.yaml", YAML.replace("key_size\nq", "a/b\nq"), "name='a/b' must be letters"),
        ("a.yaml", "name: [", "cannot be read as YAML"),
        (
            "a.yaml",
            YAML.replace("key_size: 64", "null: 64"),
            r"grids\[0\].arms\[1\]: None must be the name of a setting",
        ),
        ("a.yaml", YAML.replace("key_size: 64", "64: 64"), r"grids\[0\].arms\[1\]: 64 must be the name of a setting"),
        (
            "a.yaml",
            YAML.replace("distribution_of_three", "1"),
            "conditions.task=1 is unknown; choose one of same_different",
        ),
        ("a.yaml", YAML.replace("How small can the keys be?", r'"\e[31m"'), r"'\\x1b\[31m' has control characters"),
        ("a.yaml", YAML.replace("64", r'"\e[31m"'), r"'\\x1b\[31m' has control characters"),
        ("a.py", PYTHON.replace("How", r"\x1b[31mHow"), "has control characters"),
        (
            "a.yaml",
            "grids",
            "file='grids' must map fields to values; a study has name, question, grids and may have source",
        ),
        ("a.py", "STUDY = 1 / 0", "ZeroDivisionError"),
        ("a.py", "STUDY = None", "declares 0 studies"),
    ],
)
def test_find_study_refuses_in_a_sentence_when_the_file_is_wrong(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(ConfigError, match=message) as refused:
        find_study(path)
    assert path in str(refused.value)
    assert "\n" not in str(refused.value)


def test_find_study_refuses_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="absent.yaml"):
        find_study("absent.yaml")


OTHERS = ("ray", "analysis", "esbn_core", "random", "statistics", "queue", "select", "polars")
"""Modules that Python, this project or its libraries have, too."""

BESIDE = f"""
import helper, {", ".join(OTHERS)}
from ablations import Grid, Study
STUDY = Study(name="mine", question="?", grids=[Grid(arms=[{{}}], conditions={{"rmts": (95,)}}, seeds=1)])
"""


@pytest.mark.parametrize(("study", "text", "own"), [("a.yaml", YAML, []), ("a.py", BESIDE, ["helper"])])
def test_file_beside_a_study_stands_in_for_no_other_module(
    tmp_path: Path, study: str, text: str, own: list[str]
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("helper", *OTHERS):
        write(folder, f"{name}.py", "")
    code = f"""
import sys
from study.planning.declarations import find_study
find_study({write(folder, study, text)!r})
import {", ".join(OTHERS)}, analysis.data.trials, study.running.launch
origins = {{name: str(getattr(sys.modules.get(name), "__file__", "")) for name in {("helper", *OTHERS)}}}
print(*(name for name, origin in origins.items() if origin.startswith({str(folder)!r})))
try:
    import absent_before
except ModuleNotFoundError:
    pass
"""
    write(folder, "absent_before.py", "print('imported when its study was no longer read')")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, own), done.stderr
