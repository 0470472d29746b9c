"""Who may import whom: esbn_core <- ablations <- study; analysis meets them only through the store, which study.store
reads for both."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

ROOMS = ("esbn_core", "ablations", "study", "analysis")
FILES = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(source: str) -> set[str]:
    """Top-level packages of all absolute imports, wherever in the file they stand, `TYPE_CHECKING` blocks included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module is not None
            found.add(node.module.partition(".")[0])
    return found


def modules(source: str) -> set[str]:
    """Whole names of all modules that a source imports."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def files(room: str) -> pytest.MarkDecorator:
    paths = [path for path in FILES if path.parts[0] == room]
    return pytest.mark.parametrize("path", paths, ids=str)


def imported_by(path: Path) -> set[str]:
    return imported((ROOT / path).read_text(encoding="utf-8"))


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages that a fresh Python has loaded after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_imported_finds_every_form_of_import() -> None:
    source = """
import a.b as x, c
from d.e import f
def later():
    import g
    from .h import i
"""
    assert imported(source) == {"a", "c", "d", "g"}


def test_files_are_found_in_the_core() -> None:
    assert Path("esbn_core/models/esbn.py") in FILES


@files("esbn_core")
def test_core_imports_no_other_room_and_no_machinery(path: Path) -> None:
    assert imported_by(path).isdisjoint({"ablations", "study", "analysis", "ray", "optuna", "pandas"})


@files("esbn_core")
def test_core_reads_neither_arguments_nor_environment(path: Path) -> None:
    names = {n.attr for n in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if isinstance(n, ast.Attribute)}
    assert names.isdisjoint({"argv", "environ", "getenv"})


@files("ablations")
def test_ablations_import_only_the_core(path: Path) -> None:
    assert imported_by(path) <= {"esbn_core", "ablations"} | sys.stdlib_module_names


@files("analysis")
def test_analysis_imports_of_study_only_the_store_and_no_machinery(path: Path) -> None:
    assert imported_by(path).isdisjoint({"ablations", "torch", "ray"})
    rooms = {name for name in modules((ROOT / path).read_text("utf-8")) if name.startswith(("study", "esbn_core"))}
    shared = {"esbn_core.errors", "esbn_core.vocabulary"}
    assert all(name in shared or name.startswith("study.store.") for name in rooms)


@pytest.mark.parametrize("module", ["location", "layout", "names", "schema", "errors", "reader"])
def test_what_analysis_shares_imports_only_pyarrow(module: str) -> None:
    path = Path(f"study/store/{module}.py")
    assert imported_by(path) <= {"pyarrow", "study", "esbn_core"} | sys.stdlib_module_names
    rooms = {name for name in modules((ROOT / path).read_text("utf-8")) if name.startswith(("study", "esbn_core"))}
    shared = {"esbn_core.errors", "esbn_core.vocabulary"}
    assert all(name in shared or name.startswith("study.store.") for name in rooms)


@files("study")
def test_store_imports_no_other_room_of_study(path: Path) -> None:
    if path.parts[1] == "store":
        names = {name for name in modules((ROOT / path).read_text("utf-8")) if name.startswith("study")}
        assert all(name.startswith("study.store") for name in names)


@files("study")
def test_only_the_command_line_of_study_imports_analysis(path: Path) -> None:
    if path != Path("study/cli/main.py"):
        assert "analysis" not in imported_by(path)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_what_runs_on_ray_and_the_check_of_its_cluster_import_ray(path: Path) -> None:
    if path.stem not in ("ray_session", "launch", "driver", "aws_check"):
        assert "ray" not in imported_by(path)


@pytest.mark.parametrize(
    "module", ["esbn_core.config", "esbn_core.objects", "esbn_core.counts", "study.running.launch"]
)
def test_module_loads_without_torch(module: str) -> None:
    loaded = loaded_by(module)
    assert "esbn_core" in loaded
    assert "torch" not in loaded


def test_ablations_load_without_torch_and_numpy() -> None:
    paths = [path for path in FILES if path.parts[0] == "ablations" and path.stem != "__init__"]
    loaded = loaded_by("esbn_core.config", *(".".join(path.with_suffix("").parts) for path in paths))
    assert loaded.isdisjoint({"torch", "numpy"})
