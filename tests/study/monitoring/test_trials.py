"""One trial shown, and two compared, against what was stored."""

import io
import json
from pathlib import Path

import pytest
from analysis_store import plan_row, trial
from rich.console import Console

from esbn_core.config import PAPER
from esbn_core.errors import ConfigError
from esbn_core.objects import glyphs
from esbn_core.tasks.build import build
from study.monitoring.trials import difference, find_trial, find_trials, trial_page
from study.planning import rows
from study.store.store import Store


def shown(page: object) -> str:
    file = io.StringIO()
    Console(width=200, file=file).print(page)
    return file.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    rows.write_objects(store, glyphs())
    for arm, changes in (("baseline", {}), ("tcn=none", {"tcn": "none"})):
        for seed in (0, 1):
            config = PAPER.with_(task="same_different", withheld=95, seed=seed, **changes).resolve()
            split = build(config.task, seed)
            accuracy = 1.0 if arm == "baseline" else 0.5 + seed / 10
            more = {
                "trial_id": config.trial_id(),
                "config": json.dumps(config.flat()),
                "images_hash": glyphs().digest(),
                "withheld_objects": split.withheld.tolist(),
                "updates": config.train.updates,
                "rehearsal": False,
            }
            row = trial("same_different", 95, arm, seed, accuracy, **more)
            store.write("trials", row["trial_id"], [row])
            store.write("plans", f"mine-{arm}-{seed}", [plan_row("mine", row)])
            points = [{"trial_id": row["trial_id"], "update": u, "loss": 1.0, "accuracy": u / 200} for u in range(200)]
            store.write("curves", row["trial_id"], points)
    return store


def an_id(store: Store, arm: str, seed: int) -> str:
    return next(row["trial_id"] for row in find_trials(store, arm) if row["seed"] == seed)


def test_trial_is_found_by_the_start_of_its_id(store: Store) -> None:
    whole = an_id(store, "tcn=none", 1)
    assert find_trial(store, whole)["trial_id"] == find_trial(store, whole[:8])["trial_id"] == whole


@pytest.mark.parametrize("name", ["nothing", "", "ffff", "tcn=non"])
def test_what_names_no_trial_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ConfigError, match=f"trial='{name}' is neither an id"):
        find_trials(store, name)


def test_arm_is_not_one_trial(store: Store) -> None:
    with pytest.raises(ConfigError, match="is an arm of 2 trials; give the id of one"):
        find_trial(store, "baseline")


def test_page_shows_the_problems_that_the_trial_was_tested_on(store: Store) -> None:
    row = find_trial(store, an_id(store, "baseline", 1))
    text = shown(trial_page(store, row))
    test = build(PAPER.with_(task="same_different", withheld=95).resolve().task, 1).test
    names = [name.partition(" ")[0] for name in glyphs().names]
    first = " ".join(names[i] for i in test.indices_PT[0])
    assert f"test problem: {first}  right choice: {test.targets_P[0] + 1} of 2" in text
    assert ["studies", "mine"] in [line.split() for line in text.splitlines()]
    assert "training accuracy 1 %" in text and "99 % (updates 0 to 199)" in text


def test_curve_rises_from_the_lowest_bar_to_the_highest(store: Store) -> None:
    text = shown(trial_page(store, find_trial(store, an_id(store, "baseline", 0))))
    (line,) = [line for line in text.splitlines() if line.startswith("training accuracy")]
    bars = ["▁▂▃▄▅▆▇█".index(c) for c in line if c in "▁▂▃▄▅▆▇█"]
    assert bars == sorted(bars) and bars[-1] == 7


def test_difference_of_arms_is_in_their_settings_and_pairs(store: Store) -> None:
    text = shown(difference(store, find_trials(store, "baseline"), find_trials(store, "tcn=none")))
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert lines["tcn"] == ["sequence", "none"]
    assert "seed" not in lines and "encoder" not in lines
    assert "100.0 % (n = 2)" in text and "55.0 % (n = 2)" in text
    assert "2 pairs of trials" in text


def test_difference_of_two_trials_names_their_seeds(store: Store) -> None:
    one, other = (find_trials(store, an_id(store, "baseline", seed)) for seed in (0, 1))
    lines = [line.split() for line in shown(difference(store, one, other)).splitlines()]
    assert ["seed", "0", "1"] in lines


def test_difference_of_trials_of_two_tasks_names_neither(store: Store) -> None:
    other = find_trials(store, an_id(store, "baseline", 0))
    config = PAPER.with_(task="rmts", withheld=95).resolve()
    store.write("trials", config.trial_id(), [own(config.trial_id(), "rmts", "baseline", config.flat())])
    one = find_trials(store, config.trial_id())
    lines = [line.split("  ") for line in shown(difference(store, one, other)).splitlines()]
    assert "test accuracy" in [line[0].strip() for line in lines]


def own(trial_id: str, task: str, arm: str, config: dict[str, object]) -> dict[str, object]:
    more = {"trial_id": trial_id, "config": json.dumps(config), "rehearsal": False}
    return trial(task, 95, arm, 0, 0.5, **more)


def test_versions_of_an_own_model_are_not_mixed(store: Store) -> None:
    for source in ("aaaaaa11", "bbbbbb22"):
        row = own(f"{source}0000", "same_different", "model=mine:Mine", {"source": source, "encoder": source})
        store.write("trials", str(row["trial_id"]), [row])
    with pytest.raises(ConfigError, match="2 sources; give one: model=mine:Mine@aaaaaa, model=mine:Mine@bbbbbb"):
        find_trials(store, "model=mine:Mine")
    (row,) = find_trials(store, "model=mine:Mine@bbbbbb")
    assert row["trial_id"] == "bbbbbb220000"
    text = shown(difference(store, find_trials(store, "baseline"), [row]))
    assert "50.0 % (n = 1)" in text
    with pytest.raises(ConfigError, match="nor an arm with results"):
        find_trials(store, "model=mine:Mine@cccccc")


def test_arm_has_the_trials_of_an_earlier_version_that_stored_no_rehearsals(store: Store) -> None:
    row = own("cccc0000", "rmts", "encoder=mlp", {}) | {"rehearsal": None}
    store.write("trials", "cccc0000", [row])
    assert [found["trial_id"] for found in find_trials(store, "encoder=mlp")] == ["cccc0000"]
