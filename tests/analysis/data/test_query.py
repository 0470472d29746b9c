"""SQL over the store, and its answers in every format."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_store import curve, trial, write_study

from analysis import AnalysisError, query
from analysis.tables.query import parquet, render
from study.store.store import Store

RUNS = [trial("rmts", 95, arm, seed, 0.5 + seed / 4) for arm in ("baseline", "tcn=none") for seed in (0, 1)]
MIXED = pa.table(
    {
        "arm": ["a", "b,c"],
        "accuracy": [0.123456789, None],
        "count": [10, 200],
        "key": [[0.5] * 20, [1.0]],
        "at": pa.array([datetime(2024, 1, 2, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC")),
    }
)


@pytest.fixture
def results(tmp_path: Path) -> str:
    folder = write_study(tmp_path, "s", RUNS)
    Store(folder).write("curves", RUNS[0]["trial_id"], curve(RUNS[0]["trial_id"], [0.5, 0.75]))
    return folder


def printed(table: pa.Table, format: str) -> str:
    return "".join(render(table, format))


def test_query_averages_by_arm(results: str) -> None:
    rows = query(results, "select arm, avg(test_accuracy) mean from trials group by arm order by arm").to_pylist()
    assert rows == [{"arm": "baseline", "mean": 0.625}, {"arm": "tcn=none", "mean": 0.625}]


def test_query_joins_tables(results: str) -> None:
    answer = query(results, 'select p.study, "update" from curves join plans p using (trial_id) order by all')
    assert answer.to_pylist() == [{"study": "s", "update": 0}, {"study": "s", "update": 10}]


def test_query_passes_on_the_candidates_for_an_unknown_column(results: str) -> None:
    with pytest.raises(AnalysisError, match=r'"test_acuracy" not found.*Candidate bindings: .*"test_accuracy"'):
        query(results, "select test_acuracy from trials")


def test_query_says_in_one_line_where_the_syntax_is_wrong(results: str) -> None:
    with pytest.raises(AnalysisError, match="syntax error at or near") as caught:
        query(results, "selct 1")
    assert "\n" not in str(caught.value)


def test_query_says_which_tables_have_rows_when_one_has_none(results: str) -> None:
    with pytest.raises(AnalysisError, match="no rows of table keys yet; available: curves, plans, trials"):
        query(results, "select * from keys")


def test_query_suggests_a_table(results: str) -> None:
    with pytest.raises(AnalysisError, match="unknown table trial; did you mean 'trials'"):
        query(results, "select * from trial")


def test_query_refuses_an_empty_statement(results: str) -> None:
    with pytest.raises(AnalysisError, match="returns no rows"):
        query(results, "")


def test_query_refuses_a_store_without_tables(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="has no tables yet"):
        query(str(tmp_path), "select 1")


def test_query_reads_no_other_files(results: str) -> None:
    with pytest.raises(AnalysisError, match="file system operations are disabled"):
        query(results, f"select * from read_csv('{__file__}')")


def test_query_knows_every_table_and_reads_those_that_are_asked(results: str) -> None:
    torn = sorted((Path(results) / "curves").iterdir())[0]
    torn.write_bytes(b"PAR1")
    tables = {row["name"] for row in query(results, "show tables").to_pylist()}
    assert tables == {"trials", "plans", "curves"}
    assert query(results, "select count(*) n from Trials").to_pylist() == [{"n": len(RUNS)}]
    assert torn.exists()


@pytest.mark.parametrize("damage", [lambda data: b"PAR1", lambda data: data[:200] + bytes(300) + data[500:]])
@pytest.mark.parametrize("table", ["trials", "curves"])
def test_query_sets_a_torn_file_aside(results: str, table: str, damage: Callable[[bytes], bytes]) -> None:
    before = query(results, f"select * from {table}").num_rows
    torn = sorted((Path(results) / table).iterdir())[-1]
    rows = pq.read_metadata(torn).num_rows
    torn.write_bytes(damage(torn.read_bytes()))
    assert query(results, f"select * from {table}").num_rows == before - rows
    assert not torn.exists()


def test_render_table_prints_every_row(results: str) -> None:
    lines = printed(query(results, "select range i from range(2500)"), "table").splitlines()
    assert [line.strip() for line in lines[2:]] == [str(i) for i in range(2500)]


def test_render_table_is_readable() -> None:
    header, _, first, second = printed(MIXED, "table").splitlines()
    assert first.split()[:3] == ["a", "0.123457", "10"] and second.split()[:3] == ["b,c", "—", "200"]
    assert "… 20 values]" in first
    assert header.index("count") + len("count") == first.index(" 10 ") + 3 == second.index("200") + 3


def test_render_csv_round_trips() -> None:
    rows = list(csv.DictReader(io.StringIO(printed(MIXED, "csv"))))
    assert [row["arm"] for row in rows] == ["a", "b,c"]
    assert (rows[0]["accuracy"], rows[1]["accuracy"], rows[1]["key"]) == ("0.123456789", "", "[1.0]")


def test_render_json_is_a_list_of_records() -> None:
    rows = json.loads(printed(MIXED, "json"))
    assert rows[1] == {"arm": "b,c", "accuracy": None, "count": 200, "key": [1.0], "at": "2024-01-02T00:00:00+00:00"}


def test_render_json_holds_sums_and_undefined_numbers(results: str) -> None:
    answer = query(results, "select sum(seed) total, 'nan'::double undefined from trials")
    assert json.loads(printed(answer, "json")) == [{"total": 2, "undefined": None}]


def test_long_answer_comes_in_pieces_that_make_the_whole() -> None:
    numbers = pa.table({"i": range(2_500), "text": [f"row, {i}" for i in range(2_500)]})
    assert json.loads(printed(numbers, "json")) == numbers.to_pylist()
    assert list(csv.DictReader(io.StringIO(printed(numbers, "csv"))))[2_400] == {"i": "2400", "text": "row, 2400"}
    assert next(iter(render(numbers, "json"))).count("text") == 1_000, "before the rest is printed"


def test_render_parquet_round_trips() -> None:
    assert pq.read_table(io.BytesIO(parquet(MIXED))).equals(MIXED)


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_render_takes_an_answer_without_rows(format: str) -> None:
    assert printed(MIXED.slice(0, 0), format)
    assert parquet(MIXED.slice(0, 0))


def test_render_refuses_an_unknown_format() -> None:
    with pytest.raises(AnalysisError, match="format='jsn' is unknown; did you mean 'json'"):
        printed(MIXED, "jsn")
