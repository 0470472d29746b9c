"""Names of files and folders, taken literally, and ~, which is the user's home wherever a path is given."""

import os
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import analysis
from ablations import Grid, Study
from analysis.data.searches import export_optuna
from analysis.figures.study import save_all
from analysis.page.build import write
from esbn_core.objects import from_folder
from study.cli.main import main
from study.planning import rows
from study.planning.declarations import find_study
from study.planning.plan import Selection, plan
from study.planning.study_plan import plan_study
from study.store.bundle import export_bundle, import_bundle
from study.store.store import Store

STUDY = "name: own\nquestion: '?'\ngrids: [{arms: [{}], conditions: {rmts: [95]}, seeds: 1}]\n"
NAMES = [
    *("se?arch", "100%41", "a#b", 'it\'s "x"', "x'; drop table trials; --", "two\nlines", "*[a-z]*", "{0}{x}"),
    *("$HOME", "s3:", "C:\\x", "-x", "~root", "e\u0301\u202e", "a&b=c;d"),
]


def fill(folder: Path) -> None:
    """Makes a store with a study and a search."""
    store, declared = (
        Store(folder),
        Study(name="s", question="?", grids=[Grid(arms=[{}], conditions={"rmts": [95]}, seeds=2)]),
    )
    store.prepare()
    rows.write_plan(store, declared, plan(declared))
    for planned in plan(declared):
        ended = {"finished_at": datetime.now(UTC), "status": "completed", "test_accuracy": 0.9}
        store.write("trials", planned.trial_id, [{**rows.settings(planned), **ended}])
    about = {"search": "mine", "seeds": [1000], "distributions": "{}", "definition": '{"parameters": {}}'}
    row = {"search": "mine", "suggestion": 0, "status": "completed", "parameters": "{}", "accuracy": 0.5}
    at = datetime(2024, 1, 1, tzinfo=UTC)
    store.write("searches", "mine", [about])
    store.write("suggestions", "mine-0000", [{**row, "arm": "baseline", "suggested_at": at, "finished_at": at}])


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose folder `results` is a store."""
    fill(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def esbn(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("name", NAMES)
def test_search_is_exported_under_the_name_that_is_given(filled: Path, name: str) -> None:
    esbn("search", "mine", f"--export-optuna=./{name}.db")
    esbn("search", "mine", f"--export-optuna=./{name}.log")
    assert {path.name for path in filled.iterdir()} == {"results", f"{name}.db", f"{name}.log"}
    with sqlite3.connect(filled / f"{name}.db") as database:
        assert database.execute("select study_name from studies").fetchall() == [("mine",)]
    database.close()


def test_exported_search_is_read_by_optuna(filled: Path) -> None:
    esbn("search", "mine", "--export-optuna", "mine.db")
    storage = optuna.storages.RDBStorage("sqlite:///mine.db")
    assert [trial.value for trial in optuna.load_study(study_name="mine", storage=storage).trials] == [0.5]
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("name", NAMES)
def test_results_are_in_the_folder_of_the_name_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / name)
    where = f"--results=./{name}"
    assert "2" in esbn("query", "select count(*) as n from trials", where, "--format=csv").output
    assert "baseline" in esbn("table", "s", where).output
    esbn("export", f"./{name}.zip", where)
    esbn("import", f"./{name}.zip", f"--results=./{name} again")
    esbn("compact", f"--results=./{name} again")
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.zip", f"{name} again"}
    assert len(analysis.load(tmp_path / f"{name} again")) == 2


@pytest.mark.parametrize("name", NAMES)
def test_report_and_figures_are_in_the_folder_of_the_name_that_is_given(filled: Path, name: str) -> None:
    esbn("report", "s", f"--output=./{name}")
    esbn("query", "from trials", f"--output=./{name}.csv", "--format", "csv")
    assert (filled / name / "index.html").is_file()
    assert {path.name for path in filled.iterdir()} == {"results", name, f"{name}.csv"}


@pytest.mark.parametrize("name", ["a b#c", "100%41", "-x", "it's", "x?y"])
def test_study_is_read_from_the_file_of_the_name_that_is_given(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.yaml").write_text(STUDY)
    assert "1 trials: 0 completed" in esbn("plan", str(tmp_path / f"{name}.yaml"), "--results", str(tmp_path)).output


def test_name_that_is_no_text_ends_in_a_sentence_or_is_taken(filled: Path) -> None:
    odd = os.fsdecode(b"n\xff")
    esbn("report", "s", "-o", odd)
    esbn("search", "mine", "--export-optuna", f"{odd}.db")
    assert (filled / odd / "index.html").is_file()
    assert (filled / f"{odd}.db").is_file()
    result = CliRunner().invoke(main, ["table", "s", "--results", odd])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: results='n\\udcff' is not a folder or URI: .*\n", result.output)
    esbn("export", f"{odd}.zip", "--figures", odd)
    esbn("import", f"{odd}.zip", "--results", "again")


@pytest.mark.parametrize("name", [b"n\xff.png", b"two\nlines.png", b"back\\slash.png"])
def test_figure_whose_name_no_bundle_may_have_is_refused(filled: Path, name: bytes) -> None:
    (filled / "figures").mkdir()
    (filled / "figures" / os.fsdecode(name)).touch()
    result = CliRunner().invoke(main, ["export", "all.zip", "--figures", "figures"])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "has characters that are not allowed in a bundle; rename the file" in result.output
    assert {path.name for path in filled.iterdir()} == {"results", "figures"}


def test_tilde_is_the_home_wherever_a_path_is_given(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = filled / "home"
    (home / "images").mkdir(parents=True)
    (filled / "results").rename(home / "results")
    monkeypatch.setenv("HOME", str(home))
    for i in range(100):
        Image.new("L", (32, 32), i).save(home / "images" / f"{i}.png")
    (home / "q.sql").write_text("select 7 as seven")
    (home / "own.yaml").write_text(STUDY)
    (home / "cluster.yaml").write_text("provider: {}")
    at_home = "--results=~/results"
    esbn("table", "s", at_home)
    esbn("plan", "~/own.yaml", at_home, "--images=~/images")
    esbn("query", "--file=~/q.sql", at_home, "--output=~/answer.csv", "--format=csv")
    esbn("report", "s", at_home, "--output=~/report")
    esbn("search", "mine", at_home, "--export-optuna=~/mine.db")
    esbn("export", "~/all.zip", at_home, "--figures=~/report")
    esbn("import", "~/all.zip", "--results=~/again")
    assert {path.name for path in home.iterdir()} >= {"answer.csv", "report", "mine.db", "all.zip", "again"}
    result = CliRunner().invoke(main, ["cluster", "check", "~/cluster.yaml", "--results", "s3://bucket/x"])
    assert f"cluster='{home}/cluster.yaml'" in result.output
    assert {path.name for path in filled.iterdir()} == {"home"}


def test_paths_are_taken_wherever_text_is(filled: Path) -> None:
    results, out = filled / "results", filled / "out"
    assert (
        len(analysis.load(results)) == len(analysis.load_study(results, "s")) == len(analysis.table(results, "s")) + 1
    )
    assert analysis.query(results, "select count(*) as n from trials")["n"].to_pylist() == [2]
    assert write(results, "s", out) == out / "index.html"
    assert save_all(results, "s", str(out)) == save_all(results, "s", out)
    export_optuna(results, "mine", out / "mine.db")
    export_optuna(results, "mine", str(out / "mine.log"))
    export_bundle(Store(results), str(out / "all.zip"), [], str(out))
    import_bundle(Store(filled / "again"), str(out / "all.zip"))
    with pytest.raises(analysis.AnalysisError, match=f"^results='{re.escape(str(filled))}/absent' is not a folder"):
        analysis.load(filled / "absent")
    (filled / "own.yaml").write_text(STUDY)
    (filled / "images").mkdir()
    for i in range(100):
        Image.new("L", (32, 32), i).save(filled / "images" / f"{i}.png")
    planned = plan_study(find_study(filled / "own.yaml"), Selection(images=filled / "images"))
    assert planned.objects.digest() == from_folder(str(filled / "images")).digest()
