"""The command line: what it prints, and one sentence for each mistake."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result
from PIL import Image

from ablations import REGISTRY
from study.cli.main import main
from study.monitoring import cost
from study.planning import rows
from study.planning.completion import completion
from study.planning.plan import plan
from study.store.schema import TABLES
from study.store.store import Store


@pytest.fixture
def results(tmp_path: Path) -> str:
    """A store in which the quickstart study is planned and two of its trials have ended."""
    store = Store(str(tmp_path / "results"))
    store.prepare()
    trials = plan(REGISTRY["quickstart"])
    rows.write_plan(store, REGISTRY["quickstart"], trials)
    row = {"finished_at": datetime.now(UTC), **rows.settings(trials[0]), "status": "completed", "test_accuracy": 0.995}
    store.write("trials", trials[0].trial_id, [row])
    store.write("curves", trials[0].trial_id, [{"trial_id": trials[0].trial_id, "update": 0}])
    rows.write_failure(store, trials[1], "training loss became nan at update 7")
    return store.uri


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)], ids=lambda command: " ".join(command))
def test_help_is_there_for_every_command(command: list[str]) -> None:
    result = esbn(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_list_tells_of_every_study_what_it_asks_and_costs() -> None:
    output = esbn("list").output
    for study in REGISTRY.values():
        assert study.name in output
        assert study.question in output
    assert "124 trials, 25,200 updates" in output


def test_plan_counts_what_is_there_and_what_is_missing(results: str) -> None:
    result = esbn("plan", "quickstart", "--results", results)
    assert result.exit_code == 0
    assert "124 trials: 1 completed, 1 failed, 122 missing" in result.output


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (["plan", "quickstart", "--seeds", "20260101"], "1<=x<=1000"),
        (["search", "sizes", "--suggestions", "20260101"], "1<=x<=10000"),
        (["topup", "quickstart", "--budget", "0", "--looks", "20260101"], "2<=x<=100"),
    ],
    ids=lambda part: " ".join(part[:2]) if isinstance(part, list) else "",
)
def test_number_beyond_all_use_is_refused_at_once(arguments: list[str], most: str) -> None:
    result = esbn(*arguments)
    assert result.exit_code == 2
    assert f"20260101 is not in the range {most}" in result.output


@pytest.mark.slow
def test_plan_estimates_time_and_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = ["--task", "same_different", "--withheld", "98", "--arm", "encoder=random", "--cost"]
    output = esbn("plan", "quickstart", "--results", str(tmp_path / "results"), *arguments).output
    assert "Estimate: " in output
    assert cost.hardware() in output
    assert "g6.xlarge" in output
    assert str(cost.cache_file()) in output


def test_status_keeps_rehearsals_apart(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.prepare()
    for limit in (None, 5):
        rows.write_plan(store, REGISTRY["keys"], plan(REGISTRY["keys"], limit_updates=limit))
    lines = [" ".join(line.split()) for line in esbn("status", "--results", store.uri).output.splitlines()]
    assert "keys 10 0 0 10" in lines
    assert "keys (rehearsal) 10 0 0 10" in lines


def test_plan_filters(tmp_path: Path) -> None:
    result = esbn("plan", "quickstart", "--results", str(tmp_path), "--withheld", "98", "--arm", "encoder=mlp")
    assert "10 trials: 0 completed, 0 failed, 10 missing; 1,000 updates to make" in result.output


def test_plan_writes_nothing(tmp_path: Path) -> None:
    esbn("plan", "quickstart", "--results", str(tmp_path / "results"))
    assert list(tmp_path.iterdir()) == []


def test_status_reads_the_store_alone(results: str) -> None:
    output = esbn("status", "--results", results).output
    assert "quickstart" in output
    assert " ".join(output.splitlines()[1].split()) == "quickstart 124 1 1 122"


def test_query_answers_by_the_documented_columns(results: str) -> None:
    sql = "select task, withheld, arm, avg(test_accuracy) as mean, count(*) as n from trials group by all order by mean"
    result = esbn("query", sql, "--results", results, "--format", "csv")
    assert result.output.splitlines()[:2] == [
        "task,withheld,arm,mean,n",
        "same_different,95,baseline,0.995,2",
    ]


def test_query_schema_documents_every_column() -> None:
    output = esbn("query", "--schema").output
    for schema in TABLES.values():
        for name in schema.names:
            assert name in output


def test_query_writes_parquet_to_a_file(results: str, tmp_path: Path) -> None:
    path = tmp_path / "answer.parquet"
    assert esbn("query", "from trials", "--results", results, "--format", "parquet", "-o", str(path)).exit_code == 0
    assert path.read_bytes()[:4] == b"PAR1"


def test_table_shows_missing_and_failed_cells(results: str) -> None:
    output = esbn("table", "quickstart", "--results", results).output
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert lines[2] == "same_different 95 baseline 1/10 1 99.5 ± — 100.0 ± 0.0 -0.5 Table 9, Table 15"
    assert lines[3] == "same_different 95 encoder=mlp 0/10 0 — 100.0 ± 0.0 — Table 15"


@pytest.fixture
def wrong_images(tmp_path: Path) -> str:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        Image.new("L", (32 + (i == 2), 32), i).save(folder / f"{i}.png")
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quikstart"], "study='quikstart' is unknown; did you mean quickstart?"),
        (["run", "quickstart", "--withheld", "7"], "withheld=7 is not in this study; it has 95, 98"),
        (["run", "quickstart", "--results", "{file}/in/the/way"], "cannot be written"),
        (["run", "quickstart", "--images", "{images}"], "2.png has 33 x 32 pixels; 32 x 32 are needed"),
        (["run", "{yaml}"], "withheld=99 leaves 1 objects; rmts needs at least 5"),
        (["query", "select nonsense from trials", "--results", "{results}"], "nonsense"),
        (["query", "select from where", "--results", "{results}"], "syntax|Parser"),
        (["query", "select error('boom')", "--results", "{results}"], "boom"),
        (["query", "select 1 as a, 2 as a", "--results", "{results}"], "several columns are named a"),
        (["query", "from trials", "--results", "{results}", "-o", "{file}/x.csv"], "cannot be written"),
        (["run", "quickstart", "--checkpoint-seconds", "nan", "--results", "{results}"], "checkpoint_seconds=nan"),
        (["query", "from trials", "--results", "{results}/absent"], "absent"),
        (["table", "encoders", "--results", "{results}"], "study='encoders' is not in results"),
        (["figures", "encoders", "--results", "{results}"], "study='encoders' is not in results"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], message: str, results: str, wrong_images: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "mine.yaml").write_text(
        "{name: a, question: b, grids: [{arms: [{}], conditions: {rmts: [99]}}]}",
    )
    places = {"file": tmp_path / "file", "images": wrong_images, "yaml": tmp_path / "mine.yaml", "results": results}
    result = esbn(*(argument.format(**places) for argument in arguments))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.startswith("Error: ")
    assert len(result.output.strip().splitlines()) == 1
    assert any(part in result.output for part in message.split("|"))


@pytest.mark.parametrize("command", [["plan", "quickstart"], ["table", "quickstart"], ["status"]], ids=" ".join)
def test_a_torn_file_is_set_aside_and_nothing_else_is_lost(
    command: list[str], results: str, caplog: pytest.LogCaptureFixture
) -> None:
    (done, *_) = plan(REGISTRY["quickstart"])
    torn = Path(results, "trials", f"{done.trial_id}.parquet")
    torn.write_bytes(torn.read_bytes()[:100])
    before = {path: path.read_bytes() for path in Path(results).rglob("*.parquet")}
    result = esbn(*command, "--results", results)
    assert result.exit_code == 0, result.output
    assert [str(torn) in text for text in caplog.messages] == [True]
    before[Path(results, "set_aside", "trials", torn.name)] = before.pop(torn)
    assert {path: path.read_bytes() for path in Path(results).rglob("*.parquet")} == before
    assert done.trial_id in {trial.trial_id for trial in completion([done], Store(results)).missing}


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "automatic"])
def test_run_refuses_a_pack_size_that_is_none(size: str) -> None:
    result = esbn("run", "quickstart", "--pack", size)
    assert result.exit_code == 2
    assert f"{size!r} must be a whole number of at least 1, or auto" in result.output


def test_status_timing_adds_up_workers_and_packs(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.prepare()
    trials = plan(REGISTRY["keys"])
    start, outcome = datetime(2026, 1, 1, tzinfo=UTC), {"status": "completed", "test_accuracy": 1.0}

    def row(i: int, worker: str, began: float, ended: float, trained: float, resumed: int = 0) -> None:
        times = {"started_at": start + timedelta(seconds=began), "finished_at": start + timedelta(seconds=ended)}
        known = {"host": "h", "worker": worker, "wall_seconds": trained, "resumed": resumed}
        store.write("trials", trials[i].trial_id, [{**rows.settings(trials[i]), **outcome, **known, **times}])

    row(0, "h:1", 0, 10, 8)  # two trials of one pack
    row(1, "h:1", 0, 11, 8)
    row(2, "h:1", 12, 20, 7)
    row(3, "h:2", 0, 5, 5)
    row(4, "h:3", 0, 5, 50, resumed=1)  # the seconds of an earlier worker are in it
    line = esbn("status", "--timing", "--results", store.uri).output.splitlines()[1]
    assert line.split() == ["h", "2", "25.0", "20.0", "80.0", "%"]


@pytest.mark.parametrize("option", ["--gpus-per-pack", "--gpus-per-trial"])
@pytest.mark.parametrize("command", ["run quickstart", "topup quickstart --budget 1", "search learning_rate"])
def test_gpus_of_a_pack_have_the_old_name_too(command: str, option: str) -> None:
    name, *arguments = command.split()
    context = main.commands[name].make_context(name, [*arguments, option, "0.25"])
    assert context.params["gpus_per_pack"] == 0.25


@pytest.mark.parametrize(("words", "completion"), [("esbn ta", "plain,table"), ("esbn run qu", "plain,quickstart")])
def test_shell_completes_commands_and_studies(words: str, completion: str) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_ESBN_COMPLETE": "bash_complete"}
    program = str(Path(sys.executable).with_name("esbn"))
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert completion in done.stdout.splitlines()


def test_completion_says_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("study.cli.working.FIRST_SECONDS", 0.0)
    BashComplete(main, {}, "esbn", "_ESBN_COMPLETE").get_completions(["run", "quickstart"], "--")
    time.sleep(0.3)
    assert capfd.readouterr().err == ""
