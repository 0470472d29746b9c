"""What README.md and the pages in docs/ say can be done can be done."""

import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import yaml
from analysis_store import trial, write_study
from PIL import Image
from repository import ROOT

import analysis
from study.cli.main import main
from study.planning.declarations import find_space, find_study
from study.planning.plan import plan
from study.store.compact import compact
from study.store.store import Store

README = "README.md"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
LINES = (r"^ {4}(esbn [a-z].*)$", r"(?:&&|--) (esbn [a-z][^\"]*)")
MENTION = r"`(esbn [a-z][^`]*)`"


def found(*places: str) -> list[str]:
    """What the pages have at these places, on one line each."""
    texts = [text for page in PAGES.values() for place in places for text in re.findall(place, page, re.MULTILINE)]
    return sorted({" ".join(text.splitlines()) for text in texts})


COMMANDS = found(*LINES, MENTION)
FILES = {
    name: text
    for page in PAGES.values()
    for name, text in re.findall(r"```(?:yaml|python)\n# (\w+\.\w+)\n(.*?)```", page, flags=re.DOTALL)
}
CODE_BLOCK = r"^```.*?^```|^ {4}.*?$"
LINES_OF_README, LINE_OF_README = 150, 120


def links(page: str) -> list[str]:
    """Targets of the links and pictures of a page, but for those on other servers."""
    text = re.sub(CODE_BLOCK, "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def anchors(text: str) -> set[str]:
    """Anchors that GitHub and the site give to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def is_there(page: str, target: str) -> bool:
    """Whether the file, and the heading in it, that a link of a page leads to are there."""
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    return file.is_file() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))


def test_readme_is_short() -> None:
    lines = PAGES[README].splitlines()
    assert len(lines) <= LINES_OF_README
    assert [line for line in lines if len(line) > LINE_OF_README] == []


def test_pages_name_the_commands() -> None:
    assert len(COMMANDS) > 12
    assert {shlex.split(command, comments=True)[1] for command in COMMANDS} == set(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_a_page_is_understood(command: str) -> None:
    """One that is only mentioned by name needs no arguments."""
    understood: click.Command = main
    name, *arguments = shlex.split(command, comments=True)
    while isinstance(understood, click.Group) and arguments:
        name, *arguments = arguments
        understood = understood.commands[name]
    if arguments or command in found(*LINES):
        understood.make_context(name, arguments)


@pytest.mark.parametrize(("page", "target"), [(page, target) for page in PAGES for target in links(page)])
def test_link_of_a_page_leads_somewhere(page: str, target: str) -> None:
    assert is_there(page, target)


def test_link_that_leads_nowhere_is_found() -> None:
    assert is_there(README, "docs/studies.md#your-own-study")
    assert not is_there(README, "docs/studies.md#your-own-car")
    assert not is_there(README, "studies.md")
    assert not is_there("docs/studies.md", "README.md")


@pytest.mark.parametrize("page", PAGES)
def test_page_names_files_that_are_there(page: str) -> None:
    named = re.findall(r"`((?:esbn_core|ablations|study|analysis|tests|docs)/[\w/.]+\.\w+)[`:]", PAGES[page])
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_site_has_every_page() -> None:
    nav: list[Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    sections = [section for entry in nav for section in entry.values()]
    pages = [page for section in sections for page in ([section] if isinstance(section, str) else section)]
    assert {page if isinstance(page, str) else next(iter(page.values())) for page in pages} == set(PAGES)


def test_picture_of_the_idea_is_what_is_drawn() -> None:
    spec = importlib.util.spec_from_file_location("idea", ROOT / "docs" / "idea.py")
    assert spec is not None and spec.loader is not None
    idea = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(idea)
    drawn = io.BytesIO()
    idea.write(drawn)
    now, stored = (np.asarray(Image.open(file).convert("L"), float) for file in (drawn, ROOT / "docs" / "idea.png"))
    assert now.shape == stored.shape
    assert np.abs(now - stored).mean() < 1  # of 255; another version of matplotlib smooths differently


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", PAGES["docs/guarantees.md"]))))
def test_guarantee_names_a_test_that_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")


def test_studies_of_the_pages_ask_for_the_same_trials(tmp_path: Path) -> None:
    plans = []
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        if name.startswith("key_size"):
            plans.append({trial.trial_id for trial in plan(find_study(str(tmp_path / name)))})
    assert len(plans) == 2
    assert plans[0] == plans[1]
    assert len(plans[0]) == 30


def test_search_of_the_pages_is_declared(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    assert set(find_space(str(tmp_path / "key_search.yaml")).defaults()) == {"learning_rate", "key_size", "leak"}


def test_every_code_block_is_a_file() -> None:
    """The tests below run them."""
    assert sum(page.count("\n```") for page in PAGES.values()) == 2 * len(FILES)


def test_results_load_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = [trial("same_different", 95, arm, seed, 0.75) for arm in ("baseline", "tcn=none") for seed in range(3)]
    write_study(tmp_path / "results", "quickstart", planned)
    monkeypatch.chdir(tmp_path)
    loaded: dict[str, Any] = {}
    exec(FILES["load_results.py"], loaded)
    assert len(loaded["trials"]) == len(loaded["study"]) == 6
    assert loaded["means"]["mean"].tolist() == [0.75, 0.75]
    assert dict(zip(*loaded["answer"].to_pydict().values(), strict=True)) == {"baseline": 0.75, "tcn=none": 0.75}


@pytest.mark.parametrize("merged", [False, True])
def test_ways_to_read_the_store_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merged: bool) -> None:
    planned = [trial("rmts", 95, arm, seed, 0.5 + seed / 4) for arm in ("baseline", "tcn=none") for seed in range(3)]
    results = write_study(tmp_path / "results", "s", planned)
    if merged:
        compact(Store(results), lambda _: None)
        write_study(tmp_path / "results", "s", [trial("rmts", 95, "tcn=none", 3, 0.75)])
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(FILES["read_store.py"], found)
    assert found["by_duckdb"] == [("baseline", 0.75), ("tcn=none", 0.75)]
    assert dict(found["by_polars"].iter_rows()) == found["by_pandas"].to_dict() == dict(found["by_duckdb"])


@pytest.mark.slow
def test_study_runs_from_python(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nquestion: Does it run?\ngrids:\n"
        "  - {arms: [{updates: 5, n_test: 100, encoder: mlp}], conditions: {same_different: [95]}, seeds: 2}\n"
    )
    code = FILES["from_python.py"].replace("quickstart", "tiny.yaml")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert ran.stdout.decode().splitlines()[-1] == "2 trials: 2 completed, 0 failed, 0 missing"
    assert len(analysis.load(str(tmp_path / "results"))) == 2


@pytest.mark.slow
def test_own_model_trains_in_its_study(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    results = str(tmp_path / "results")
    command = [str(Path(sys.executable).with_name("esbn")), "run", "average.yaml", "--results", results]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    trials = analysis.load(results, "trials")
    accuracies = {str(arm): of_arm.tolist() for arm, of_arm in trials.groupby("arm")["test_accuracy"]}
    own = "model=average:Average"
    assert {arm: len(values) for arm, values in accuracies.items()} == {
        "baseline": 2,
        own: 2,
        f"{own},hidden_size=32": 2,
    }
    assert min(accuracies["baseline"]) > 0.95 > max(accuracies[own])
