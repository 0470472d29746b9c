"""Which files count as the source of a user's module, and that they travel with its config."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from esbn_core import own_source
from esbn_core.config import PAPER
from esbn_core.errors import ConfigError
from esbn_core.imports import importable
from esbn_core.own_source import digest, sources_of

CONFIG = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Own:
    width: int = 8
    core = None
"""


def write(folder: Path, **files: str) -> None:
    """Writes modules; `a__b` is b in package a."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("text", "others", "found"),
    [
        ("import os, sys", {}, []),
        ("import near_a", {"near_a": ""}, ["near_a"]),
        ("from near_b import x as y", {"near_b": "x = 1"}, ["near_b"]),
        (
            "def late():\n    import near_c",
            {"near_c": "import near_c2", "near_c2": "import near_c"},
            ["near_c", "near_c2"],
        ),
        ("from near_d import part", {"near_d/__init__": "", "near_d/part": ""}, ["near_d", "near_d.part"]),
        ("import near_e.part.deep", {"near_e/part/deep": ""}, ["near_e", "near_e.part", "near_e.part.deep"]),
        (
            "import near_f",
            {"near_f/__init__": "from . import one", "near_f/one": "from .two import x", "near_f/two": "x = 1"},
            ["near_f", "near_f.one", "near_f.two"],
        ),
        ("try:\n    import near_g\nexcept ImportError:\n    pass", {"near_g": "import no_such_module"}, ["near_g"]),
        ("import torch, esbn_core.config", {"unused": "", "torch/data/unused": ""}, []),
    ],
)
def test_source_is_all_that_a_module_imports_from_its_folder(
    tmp_path: Path, text: str, others: dict[str, str], found: list[str], request: pytest.FixtureRequest
) -> None:
    name = f"top_{abs(hash(request.node.name))}"
    write(tmp_path, **{name: text})
    for path, content in others.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{path}.py").write_text(content)
    with importable(tmp_path):
        assert list(sources_of(name)) == [name, *found]


def test_source_of_a_module_in_a_package_includes_the_package(tmp_path: Path) -> None:
    write(tmp_path, boxed__inner__model="from ..outer import x", boxed__outer="x = 1", boxed____init__="")
    (tmp_path / "boxed" / "__init__.py").write_text("x = 0")
    with importable(tmp_path):
        assert list(sources_of("boxed.inner.model")) == ["boxed.inner.model", "boxed.inner", "boxed", "boxed.outer"]


def test_digest_of_one_file_is_the_hash_that_stored_trials_have(tmp_path: Path) -> None:
    write(tmp_path, alone=CONFIG)
    with importable(tmp_path):
        assert digest(sources_of("alone")) == hashlib.sha256(CONFIG.encode()).hexdigest()[:16]


def test_digest_changes_with_every_file_and_not_with_the_folder(tmp_path: Path) -> None:
    seen = set()
    for number, (first, second) in enumerate([("1", "1"), ("2", "1"), ("1", "2"), ("12", ""), ("", "12")]):
        digests = set()
        for folder in (tmp_path / f"{number}a", tmp_path / f"{number}b"):
            write(folder, changing="import changing_one, changing_two", changing_one=first, changing_two=second)
            with importable(folder):
                digests.add(digest(sources_of("changing")))
        assert len(digests) == 1
        seen |= digests
    assert len(seen) == 5


@pytest.mark.parametrize("name", ["random", "numpy", "analysis"])
def test_module_that_a_library_hides_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, **{f"hidden_by_{name}": f"import {name}", name: "x = 1"})
    with importable(tmp_path), pytest.raises(ConfigError, match=f"hidden by another module named {name!r}; rename it"):
        sources_of(f"hidden_by_{name}")


def test_source_of_an_installed_package_is_the_package_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, installed__model="import installed.near, library", installed__near="", library="")
    monkeypatch.setattr(own_source.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    with importable(tmp_path):
        assert list(sources_of("installed.model")) == ["installed.model", "installed", "installed.near"]


def test_source_beside_our_own_packages_leaves_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a model in the checkout itself."""
    monkeypatch.setattr(own_source, "OWN_PACKAGES", ("ours",))
    write(tmp_path, beside_ours="import ours.part", ours__part="")
    with importable(tmp_path):
        assert list(sources_of("beside_ours")) == ["beside_ours"]


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_source, "MOST_FILES", 3)
    write(tmp_path, **{f"chain_{n}": f"import chain_{n + 1}" for n in range(5)})
    with importable(tmp_path), pytest.raises(ConfigError, match="more than 3 files"):
        sources_of("chain_0")


def test_config_takes_its_modules_along(tmp_path: Path) -> None:
    """To a process that neither has the folder nor could take the helper for another module of that name."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    helper = "def late():\n    from sent_parts.late import WORD\n    return WORD\n"
    write(home, sent_model="from sent_help import late\n" + CONFIG, sent_help=helper, sent_parts__late="WORD = 'ours'")
    write(elsewhere, sent_help="raise RuntimeError")
    with importable(home):
        config = PAPER.with_(model="sent_model:Own", width=9).resolve()
    packed = tmp_path / "config.pickle"
    packed.write_bytes(pickle.dumps(config))
    home.rename(tmp_path / "gone")
    code = (
        f"import pickle, sys; sys.path.insert(0, {str(elsewhere)!r})\n"
        f"config = pickle.load(open({str(packed)!r}, 'rb'))\n"
        "import sent_help; print(config.trial_id(), config.model.width, sent_help.late())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.split() == [config.trial_id(), "9", "ours"]
