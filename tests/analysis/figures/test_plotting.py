"""Figures whatever matplotlib is told elsewhere: in a matplotlibrc, by the environment, or by the caller."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import seaborn
from analysis_store import trial, write_study
from cycler import cycler
from repository import ROOT

from analysis import load_study
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.sheet import save

DRAWING = """
import sys
from pathlib import Path
from analysis import load_study
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.sheet import save
save(draw_accuracy(load_study(sys.argv[1], "s")), Path(sys.argv[2]), "accuracy")
"""

SETTINGS: dict[Any, Any] = {
    "text.usetex": True,
    "savefig.bbox": "tight",
    "savefig.dpi": 50,
    "savefig.format": "svg",
    "savefig.transparent": True,
    "savefig.facecolor": "black",
    "figure.facecolor": "black",
    "figure.autolayout": True,
    "figure.constrained_layout.use": True,
    "font.size": 20,
    "font.family": "serif",
    "axes.facecolor": "black",
    "axes.edgecolor": "red",
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=["r", "g"], linestyle=["-", ":"]),
    "axes.spines.left": False,
    "axes.xmargin": 0.5,
    "axes.unicode_minus": False,
    "axes.formatter.limits": (0, 0),
    "axes.titlelocation": "left",
    "errorbar.capsize": 10,
    "legend.fontsize": 20,
    "legend.fancybox": False,
    "lines.antialiased": False,
    "lines.dashed_pattern": (9, 9),
    "lines.scale_dashes": False,
    "mathtext.default": "bf",
    "path.simplify": False,
    "path.sketch": (10, 10, 10),
    "pdf.compression": 0,
    "pdf.fonttype": 3,
    "pdf.use14corefonts": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "another",
    "xtick.labelsize": 20,
    "xtick.direction": "in",
    "ytick.minor.visible": True,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    planned = [trial("rmts", 95, arm, seed, 0.9 + seed / 100) for arm in ("baseline", "tcn=none") for seed in range(2)]
    return write_study(tmp_path_factory.mktemp("results"), "s", planned)


def drawn(results: str, out: Path) -> dict[str, bytes]:
    paths = save(draw_accuracy(load_study(results, "s")), out, "accuracy")
    return {path.suffix: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def plain(results: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The figure with matplotlib's defaults."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        return drawn(results, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("part", range(3))
def test_figure_does_not_depend_on_settings_of_the_caller(
    results: str, plain: dict[str, bytes], tmp_path: Path, part: int
) -> None:
    """A third of them at a time, neighbours apart: savefig.bbox and figure.autolayout would hide each other."""
    settings: Any = dict(sorted(SETTINGS.items())[part::3])
    with matplotlib.rc_context(settings):
        asked = dict(matplotlib.rcParams)
        assert drawn(results, tmp_path) == plain
        assert dict(matplotlib.rcParams) == asked


@pytest.fixture
def theme() -> Iterator[None]:
    with matplotlib.rc_context():
        seaborn.set_theme(context="poster", style="darkgrid", palette="deep", font="serif", color_codes=True)
        yield
    seaborn.reset_defaults()


@pytest.mark.usefixtures("theme")
def test_figure_does_not_depend_on_a_theme_of_the_caller(results: str, plain: dict[str, bytes], tmp_path: Path) -> None:
    assert drawn(results, tmp_path) == plain


RC = b"text.usetex: True\nsavefig.bbox: tight\nfont.size: 30\naxes.facecolor: red\nbackend: qtagg\n"
NO_TEXT = "font.family: Übergröße\n".encode("latin-1")
ENVIRONMENTS: dict[str, tuple[dict[str, str], dict[str, bytes]]] = {  # variables, and files in the user's folder
    "backend of a notebook and a style that is no text": (
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "{folder}/home"},
        {"matplotlibrc": RC, "home/stylelib/mine.mplstyle": NO_TEXT},
    ),
    "settings": ({"MPLCONFIGDIR": "{folder}/config", "MPLBACKEND": "qtagg"}, {"config/matplotlibrc": RC}),
    "wrong settings": ({"MATPLOTLIBRC": "{folder}/rc"}, {"rc": b"no.setting: 1\nfont.size: large and red\n: :\n"}),
    "settings that are no text and no place for a cache": (
        {"MPLBACKEND": "garbage", "MPLCONFIGDIR": "{folder}/file"},
        {"matplotlibrc": NO_TEXT, "file": b""},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_figure_does_not_depend_on_the_environment(
    results: str, plain: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    variables, files = ENVIRONMENTS[name]
    folder = tmp_path / "with space"
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | {k: v.format(folder=folder) for k, v in variables.items()}
    command = [sys.executable, "-c", DRAWING, results, str(tmp_path / "out")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.suffix: path.read_bytes() for path in (tmp_path / "out").iterdir()} == plain
