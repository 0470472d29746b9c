"""Plans that count, against a slow way to find them."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from study.store.plans import NEEDED, current
from study.store.schema import TABLES
from study.store.store import Store

SCHEMA = pa.schema([TABLES["plans"].field(name) for name in NEEDED])


def row(
    trial: str, seed: int = 0, day: int = 1, arm: str = "own", study: str = "s", task: str = "rmts"
) -> dict[str, Any]:
    planned_at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
    about = {"study": study, "task": task, "withheld": 95, "arm": arm, "seed": seed}
    return {**about, "planned_at": planned_at, "trial_id": trial}


def counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return current(pa.Table.from_pylist(rows, schema=SCHEMA)).to_pylist()


def slowly(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The definition, pair by pair."""

    def same(a: dict[str, Any], b: dict[str, Any], *names: str) -> bool:
        return all(a[name] == b[name] for name in names)

    variant = ("study", "task", "withheld", "arm")
    kept = []
    for one in rows:
        others = [other for other in rows if same(one, other, *variant)]
        replaced = False
        for a in others:
            newer = {b["trial_id"] for b in others if same(a, b, "seed") and b["planned_at"] > a["planned_at"]}
            replaced |= a["planned_at"] >= one["planned_at"] and bool(newer) and a["trial_id"] not in newer
        arms = max((o["planned_at"], o["arm"]) for o in rows if same(one, o, "study", "trial_id"))
        if not replaced and one["arm"] == arms[1]:
            kept.append(one)
    return kept


def test_all_rows_count_where_no_trial_replaces_another() -> None:
    rows = [row("a"), row("a", day=2), row("b", seed=1), row("c", arm="baseline"), row("a", study="other")]
    assert counted(rows) == rows


def test_newest_plan_of_a_variant_counts_alone_after_its_model_has_changed() -> None:
    old, new = [row("a"), row("b", seed=1), row("c", seed=2)], [row("x", day=2), row("y", seed=1, day=2)]
    others = [row("k", arm="baseline"), row("a2", task="same_different")]
    assert counted([*old, *others, *new]) == [*others, *new], "seed 2 of the old model is not pooled with the new one"


def test_smaller_plan_of_a_changed_model_leaves_its_earlier_seeds() -> None:
    old, new = [row("a"), row("b", seed=1)], [row("x", day=2), row("y", seed=1, day=2), row("z", seed=2, day=2)]
    again = [row("x", day=3)]
    assert counted([*old, *new, *again]) == [*new, *again]


def test_newest_arm_of_a_trial_counts() -> None:
    assert counted([row("a", arm="old name"), row("a", arm="new name", day=2)]) == [row("a", arm="new name", day=2)]


@pytest.mark.parametrize("seed", range(20))
def test_current_is_what_its_definition_says(seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        row(
            draw.choice("abc"),
            draw.randrange(3),
            draw.randrange(4),
            draw.choice(["own", "baseline"]),
            draw.choice("st"),
        )
        for _ in range(draw.randrange(2, 14))
    ]
    assert counted(rows) == slowly(rows)


def test_store_reads_the_plans_that_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    store.write("plans", "s-1", [row("a"), row("k", arm="baseline")])
    store.write("plans", "s-2", [row("x", day=2)])
    assert store.read("plans", ["trial_id"])["trial_id"].to_pylist() == ["k", "x"]
