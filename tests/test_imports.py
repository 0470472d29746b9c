"""Arrows between rooms and files, read from the sources; and what starts fast because it loads little."""

import ast
import graphlib
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from repository import ROOT

Graph = Mapping[str, set[str]]

PACKAGES = ("esbn_core", "ablations", "study", "analysis")
WORDS = {"esbn_core.errors", "esbn_core.files", "esbn_core.printable", "esbn_core.vocabulary"}
"""What every room may import."""

CORE = {"esbn_core", "ablations"}
STUDY = {f"study.{room}" for room in ("store", "planning", "running", "searching", "cluster", "monitoring")}
READ = {"study.store", "analysis.errors", "analysis.data"}
FOUND = READ | {"analysis.statistics", "analysis.findings"}
SHOWN = FOUND | {"analysis.tables", "analysis.figures"}

ARROWS: Graph = {
    "esbn_core": set(),
    "ablations": {"esbn_core"},
    "study.store": CORE,
    "study.planning": CORE | {"study.store"},
    "study.cluster": {"esbn_core", "study.store"},
    "study.running": CORE | {"study.store", "study.planning"},
    "study.searching": CORE | {"study.store", "study.planning", "study.running"},
    "study.monitoring": CORE | {"study.store", "study.planning", "study.running", "study.cluster"},
    "study.cli": CORE | STUDY | SHOWN | {"analysis.page"},
    "study": set(),
    "analysis.errors": set(),
    "analysis.data": {"analysis.errors", "study.store"},
    "analysis.statistics": {"analysis.errors"},
    "analysis.findings": READ | {"analysis.statistics"},
    "analysis.tables": FOUND,
    "analysis.figures": FOUND,
    "analysis.page": SHOWN,
    "analysis": SHOWN,  # what a notebook gets by `import analysis`
}
"""Room -> the rooms it may import, besides its own and `WORDS`; a file that is in no room of its package is one."""

RAY = {
    "study.running.connection",
    "study.running.ray_session",
    "study.running.retries",
    "study.running.launch",
    "study.searching.driver",
    "study.cluster.aws_check",
}
TORCH = {
    "study.running.worker",
    "study.running.worker_process",
    "study.searching.worker",
    "study.monitoring.bench",  # the last two measure how fast torch is on this machine
    "study.monitoring.cost",
}
PLOTTING = {"analysis.figures.plotting"}
HEAVY = {"torch", "ray", "pandas", "pyarrow", "duckdb", "matplotlib", "seaborn", "optuna", "numpy"}
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 60
STARTS_WITHIN = 3  # times what its libraries take


def module_of(path: Path) -> str:
    """``study/store/__init__.py`` is study.store, ``study/store/lease.py`` study.store.lease."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(path): path
    for package in PACKAGES
    for path in sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))
}


def source(module: str) -> str:
    return (ROOT / FILES[module]).read_text(encoding="utf-8")


def imported(text: str, known: Iterable[str] = ()) -> set[str]:
    """Whole names of all modules a source imports, wherever in it: in functions and under `TYPE_CHECKING`, too.

    Args:
        text: of the source; it has no relative import.
        known: modules, so that ``from a import b`` can be told to import a.b where b is a module of a.
    """
    names, modules = set[str](), set(known)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and not node.level, "an import names the whole module"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members & modules
            if members - modules:
                names.add(node.module)
    return names


IMPORTS: Graph = {module: imported(source(module), FILES) for module in FILES}


def room(module: str) -> str:
    """The first two words of a name in study and analysis, elsewhere the first."""
    words = module.split(".")
    return ".".join(words[: 2 if words[0] in ("study", "analysis") else 1])


def ours(modules: Iterable[str]) -> set[str]:
    return {module for module in modules if module.partition(".")[0] in PACKAGES}


def third_party(modules: Iterable[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} - set(PACKAGES) - sys.stdlib_module_names


def imports(module: str, package: str) -> bool:
    """Whether a file of ours imports a package, or something in it."""
    return package in {name.partition(".")[0] for name in IMPORTS[module]}


def reached(graph: Graph, starts: Iterable[str]) -> set[str]:
    """The starts and all that they import, directly or not."""
    seen, left = set[str](), list(starts)
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += graph.get(module, set())
    return seen


def cycle(graph: Graph) -> list[str]:
    """A way round in a graph; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def wrong_arrows(module: str, imports: set[str]) -> set[str]:
    """What a file of ours imports of other rooms, against `ARROWS`."""
    allowed = {room(module), *ARROWS[room(module)]}
    return {name for name in ours(imports) - WORDS if room(name) not in allowed}


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages that a fresh Python has loaded after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_imported_finds_every_form_of_import() -> None:
    text = """
import a.b as x, c
from d.e import f, g
from TYPE import KEPT
def later():
    import h
    from d import e, one
"""
    assert imported(text, {"d.e", "d.e.g"}) == {"a.b", "c", "d.e", "d.e.g", "TYPE", "h", "d"}
    with pytest.raises(AssertionError, match="whole module"):
        imported("from .h import i")


def test_arrow_against_the_order_is_found() -> None:
    assert wrong_arrows("study.store.lease", {"study.planning.plan", "json"}) == {"study.planning.plan"}
    assert wrong_arrows("analysis.statistics.tests", {"analysis.data.trials", "scipy"}) == {"analysis.data.trials"}
    assert wrong_arrows("analysis.data.trials", {"study.planning.plan", "esbn_core.config"}) == {
        "study.planning.plan",
        "esbn_core.config",
    }
    assert wrong_arrows("analysis.tables.grid", {"esbn_core.vocabulary", "analysis.findings.audit"}) == set()


def test_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_files_are_found_in_every_room() -> None:
    assert "esbn_core.models.esbn" in FILES
    assert {room(module) for module in FILES} == set(ARROWS)


def test_every_file_imports_along_the_arrows() -> None:
    wrong = {module: wrong_arrows(module, imports) for module, imports in IMPORTS.items()}
    assert {module: names for module, names in wrong.items() if names} == {}


def test_no_cycle_between_files() -> None:
    assert cycle({module: ours(imports) & set(FILES) for module, imports in IMPORTS.items()}) == []


def test_no_cycle_between_rooms() -> None:
    assert cycle(ARROWS) == []
    rooms: dict[str, set[str]] = {}
    for module, imports in IMPORTS.items():
        rooms.setdefault(room(module), set()).update(room(name) for name in ours(imports))
    assert cycle({name: others - {name} for name, others in rooms.items()}) == []


def test_only_the_command_line_imports_study_and_analysis() -> None:
    """Analysis itself sees study's store alone."""
    study = {module: {name for name in imports if name.startswith("study")} for module, imports in IMPORTS.items()}
    assert [m for m in FILES if m.startswith("study") and room(m) != "study.cli" and imports(m, "analysis")] == []
    assert {room(name) for m in FILES if m.startswith("analysis") for name in study[m]} <= {"study.store"}


def test_what_analysis_shares_with_study_imports_only_pyarrow() -> None:
    shared = {name for m in FILES if m.startswith("analysis") for name in IMPORTS[m] if name.startswith("study")}
    assert shared
    for module in reached({name: ours(imports) for name, imports in IMPORTS.items()}, shared):
        assert room(module) == "study.store" or module in WORDS, module
        assert third_party(IMPORTS[module]) <= {"pyarrow"}, module


def test_core_imports_no_machinery() -> None:
    machinery = {"ray", "optuna", "pandas"}
    assert [m for m in FILES if room(m) == "esbn_core" and machinery & third_party(IMPORTS[m])] == []


def test_core_reads_neither_arguments_nor_environment() -> None:
    read = {
        (module, node.attr)
        for module in FILES
        if room(module) == "esbn_core" and module != "esbn_core.imports"  # which is of no trial
        for node in ast.walk(ast.parse(source(module)))
        if isinstance(node, ast.Attribute)
    }
    assert [(module, name) for module, name in read if name in ("argv", "environ", "getenv")] == []


def test_ablations_import_the_core_and_the_standard_library() -> None:
    assert {package for m in FILES if room(m) == "ablations" for package in third_party(IMPORTS[m])} == set()


@pytest.mark.parametrize("module", sorted(WORDS))
def test_what_every_room_may_import_imports_no_room(module: str) -> None:
    assert third_party(IMPORTS[module]) == set()
    assert ours(IMPORTS[module]) <= WORDS


def test_only_what_runs_on_ray_and_the_check_of_its_cluster_import_ray() -> None:
    assert {module for module in FILES if imports(module, "ray")} <= RAY


def test_only_the_core_and_what_trains_or_measures_import_torch() -> None:
    assert {module for module in FILES if imports(module, "torch") and room(module) != "esbn_core"} <= TORCH


def test_only_one_module_imports_matplotlib_and_seaborn() -> None:
    """The one that does so whatever the environment of the user says."""
    assert {m for m in FILES if {"matplotlib", "seaborn"} & third_party(IMPORTS[m])} == PLOTTING


def test_report_loads_without_matplotlib() -> None:
    assert loaded_by("analysis.page.build").isdisjoint({"matplotlib", "seaborn"})


def test_package_in_a_room_is_a_docstring() -> None:
    packages = [module for module, path in FILES.items() if path.name == "__init__.py" and "." in module]
    assert "study.store" in packages
    assert [module for module in packages if set(map(type, ast.parse(source(module)).body)) != {ast.Expr}] == []


@pytest.mark.parametrize(
    "module", ["esbn_core.config", "esbn_core.objects", "esbn_core.counts", "study.running.launch"]
)
def test_module_loads_without_torch(module: str) -> None:
    loaded = loaded_by(module)
    assert "esbn_core" in loaded
    assert "torch" not in loaded


def test_ablations_load_without_torch_and_numpy() -> None:
    loaded = loaded_by("esbn_core.config", *(module for module in FILES if module.startswith("ablations.")))
    assert loaded.isdisjoint({"torch", "numpy"})


def run(code: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """CPU seconds of a fresh Python that runs the code, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def start(*arguments: str) -> tuple[float, set[str]]:
    """CPU seconds of an `esbn` in a process of its own, and the packages it had loaded at its end."""
    seconds, done = run(
        "import atexit, sys; from study.cli.main import main; "
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)); "
        f"main({list(arguments)}, prog_name='esbn')"
    )
    assert done.stdout
    return seconds, set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=lambda arguments: arguments[0])
def test_help_and_list_load_nothing_heavy(arguments: list[str]) -> None:
    _, loaded = start(*arguments)
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_starts_in_little_more_than_its_libraries() -> None:
    """Best of 5 starts each, in turn, in CPU seconds; 0.4 s on a machine whose libraries take 0.2 s."""
    libraries = "import click, rich.console, rich.table, rich.text, ruamel.yaml"
    seconds = [(start("--help")[0], run(libraries)[0]) for _ in range(5)]
    help_page, its_libraries = map(min, zip(*seconds, strict=True))
    assert help_page < STARTS_WITHIN * its_libraries


def test_every_file_is_short() -> None:
    lines = {module: len(source(module).splitlines()) for module in FILES}
    assert {module: n for module, n in lines.items() if n > LINES_OF_A_FILE} == {}


def test_every_function_is_short() -> None:
    lines = {
        f"{module}.{node.name}": 1 + (node.end_lineno or 0) - node.lineno
        for module in FILES
        for node in ast.walk(ast.parse(source(module)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lines.items() if n > LINES_OF_A_FUNCTION} == {}
