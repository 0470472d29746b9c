"""Real runs among a user's own files: modules with our names, models in several files, odd paths."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from repository import ROOT
from runs import Run, without_news

pytestmark = pytest.mark.slow

STUDY = """
name: among
question: Does it run among other files?
grids:
  - arms: [{updates: 2, n_test: 20, encoder: random}]
    conditions: {same_different: [98]}
    seeds: 1
"""
PYTHON_STUDY = """
from ablations import Grid, Study

STUDY = Study(
    name="among",
    question="Does it run among other files?",
    grids=[Grid(arms=[{"updates": 2, "n_test": 20}], conditions={"same_different": [98]}, seeds=1)],
)
"""
MODEL = """
from dataclasses import dataclass
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw
from shaping import squash

class MeanCore(Core):
    def __init__(self, config, n_features, task, stream):
        super().__init__()
        self.output = Linear(draw(n_features, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ):
        from parts.late import scale
        return self.output(scale(squash(z_BTZ.mean(dim=1))))

@dataclass(frozen=True)
class Mean:
    core = MeanCore
"""
ODD = "raise RuntimeError('a file of the user was imported: ' + __file__)"
COMPLETED = "1 trials: 1 completed, 0 failed, 0 missing"


@pytest.mark.parametrize("path", ["", ".:other"])
def test_no_file_of_a_user_stands_in_for_a_module(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is in the current folder, which is the study's, too, or in one that PYTHONPATH names."""
    run = Run(tmp_path, STUDY)
    (tmp_path / "study.py").write_text(PYTHON_STUDY)
    (tmp_path / "other").mkdir()
    for name in ("ablations", "analysis", "torch", "numpy", "ray", "click", "pandas", "queue", "yaml"):
        for folder in (tmp_path, tmp_path / "other"):
            (folder / f"{name}.py").write_text(ODD)
    (tmp_path / "other" / "study.py").write_text(ODD)
    if not path:
        (tmp_path / "esbn_core.py").write_text(ODD)
    monkeypatch.setenv("PYTHONPATH", path.replace("other", str(tmp_path / "other")))
    code, output = run.finish("run", "study.py")
    assert code == 0 and COMPLETED in output, output
    code, output = run.finish("table", "study.py")
    assert code == 0, output
    code, output = run.finish("run", "study.yaml", "--task", "nope")
    assert code == 1 and without_news(output).startswith("Error: ") and "RuntimeError" not in output, output


def test_model_in_several_files_runs_from_another_folder_and_anew_when_one_changes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "parts").mkdir(parents=True)
    (home / "mean.py").write_text(MODEL)
    (home / "shaping.py").write_text("import torch\n\ndef squash(x):\n    return torch.relu(x)\n")
    (home / "parts" / "late.py").write_text("def scale(x):\n    return 2 * x\n")
    study = home / "mean.yaml"
    study.write_text(STUDY.replace("encoder: random", "encoder: random, model: 'mean:Mean'"))
    run = Run(tmp_path, STUDY)
    seen = []
    for changed in ("shaping.py", "parts/late.py"):
        code, output = run.finish("run", str(study))
        assert code == 0 and COMPLETED in output, output
        seen.append({row["trial_id"] for row in run.store.read("trials").to_pylist()})
        code, output = run.finish("run", str(study))
        assert code == 0 and "nothing to train" in output, output
        with open(home / changed, "a") as file:
            file.write("# changed\n")
    assert [len(trials) for trials in seen] == [1, 2]
    code, output = run.finish("plan", str(study))
    assert code == 0 and "1 trials: 0 completed, 0 failed, 1 missing" in output, output


def test_checkout_in_an_odd_path_trains_on_the_cpus_that_it_may_use(tmp_path: Path) -> None:
    """With the Python of a virtual environment there, as `make` sets one up."""
    checkout = tmp_path / "sp\u00e2ce 'quoted' & dir"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=checkout, check=True)
    packages = checkout / ".venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (packages / "here.pth").write_text(f"{checkout}\n{sysconfig.get_path('purelib')}\n")
    (checkout / "study.yaml").write_text(STUDY.replace("seeds: 1", "seeds: 2"))
    cpu = str(min(os.sched_getaffinity(0)))
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [
            *("taskset", "-c", cpu, ".venv/bin/python", "-c", "from esbn_core.imports import command; command()"),
            *("run", "study.yaml", "--pack", "1"),
        ],
        cwd=checkout,
        env=ours,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0 and "2 trials: 2 completed, 0 failed, 0 missing" in done.stdout, (
        done.stdout + done.stderr
    )
    assert "2 trials in 2 packs, 1 at a time" in done.stdout
