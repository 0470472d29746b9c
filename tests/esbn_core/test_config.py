"""Configs: flat changes, refusals, the paper's protocol and the identity of a trial."""

import csv
import dataclasses
import hashlib
import math
import subprocess
import sys
from typing import Any

import pytest
from repository import ROOT

from esbn_core.config import PAPER, ESBNConfig, ResolvedTrial, TaskConfig, TrainConfig, TrialConfig, arm_label
from esbn_core.errors import ConfigError

with (ROOT / "tests/data/protocol.csv").open(encoding="utf-8") as _lines:
    PROTOCOL = [(row["task"], int(row["m"]), row) for row in csv.DictReader(_lines)]

# Flat changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": "rmts"}, TrialConfig(task=TaskConfig(name="rmts"))),
        ({"withheld": 95}, TrialConfig(task=TaskConfig(withheld=95))),
        ({"confidence": "off"}, TrialConfig(model=ESBNConfig(confidence="off"))),
        ({"learning_rate": 0.1}, TrialConfig(train=TrainConfig(learning_rate=0.1))),
        ({"epochs": 3}, TrialConfig(train=TrainConfig(epochs=3))),
        ({"encoder": "mlp", "seed": 4}, TrialConfig(encoder="mlp", seed=4)),
        ({"model": "esbn", "key_size": 8}, TrialConfig(model=ESBNConfig(key_size=8))),
        ({}, TrialConfig()),
    ],
    ids=lambda value: arm_label(value) if isinstance(value, dict) else "",
)
def test_with_changes_the_part_that_owns_the_field(changes: dict[str, Any], expected: TrialConfig) -> None:
    assert PAPER.with_(**changes) == expected


def test_with_leaves_the_original_and_the_other_fields_alone() -> None:
    first = PAPER.with_(withheld=50, confidence="off")
    second = first.with_(withheld=95)
    assert (first.task.withheld, second.task.withheld, PAPER.task.withheld) == (50, 95, 0)
    assert second.flat()["confidence"] == "off"


def test_with_model_starts_from_that_models_defaults() -> None:
    assert PAPER.with_(confidence="off").with_(model="esbn").model == ESBNConfig()


@pytest.mark.parametrize("field", sorted({*PAPER.flat(), "epochs"}))
def test_with_takes_every_column_of_flat(field: str) -> None:
    value = {**PAPER.flat(), "epochs": None}[field]
    assert PAPER.with_(**{field: value}) == PAPER


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"withhold": 95}, "withhold=95: .* did you mean withheld?"),
        ({"learning_rat": 1}, "did you mean learning_rate?"),
        ({"epoch": 1}, "did you mean epochs?"),
        ({"xyzzy": 1}, "'xyzzy'; it has batch_size, confidence, .* withheld"),
        ({"train": 1}, "train=1: model esbn has no setting 'train'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_with_refuses_an_unknown_field_and_suggests_one(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PAPER.with_(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "sort"},
            "task='sort' is unknown; choose one of same_different, rmts, distribution_of_three, identity",
        ),
        ({"model": "gpt"}, "model='gpt' is unknown; choose one of esbn"),
        ({"encoder": "vgg"}, "encoder='vgg' is unknown; choose one of conv, mlp, random"),
        ({"tcn": "batch"}, "tcn='batch' is unknown; choose one of none, sequence, segmented"),
        ({"confidence": "maybe"}, "confidence='maybe' is unknown; choose one of on, off, default_memory"),
        ({"confidence": True}, "confidence=True is unknown"),
        ({"confidence": None}, "confidence=None is unknown"),
        ({"tcn": "segmented"}, "tcn='segmented' is defined for rmts only; same_different takes none or sequence"),
        ({"epochs": 1, "updates": 1}, "epochs=1 and updates=1 both set the length of training"),
        ({"learning_rate": 0}, "learning_rate=0 must be a number between 0 and 1"),
        ({"learning_rate": 1.5}, "learning_rate=1.5 must be"),
        ({"learning_rate": math.nan}, "learning_rate=nan must be"),
        ({"learning_rate": "5e-4"}, "learning_rate='5e-4' must be"),
        ({"learning_rate": True}, "learning_rate=True must be"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
    ],
    ids=lambda value: arm_label(value) if isinstance(value, dict) else "",
)
def test_config_refuses_a_bad_value_and_says_what_would_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PAPER.with_(**changes)


WHOLE_NUMBERS = (
    "withheld n_objects n_train n_test key_size hidden_size batch_size epochs updates embedding_size seed".split()
)


@pytest.mark.parametrize("field", ["withheld", "n_objects", "key_size", "batch_size", "embedding_size", "seed"])
def test_config_refuses_none_where_the_paper_leaves_nothing_open(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=None"):
        PAPER.with_(**{field: None})


@pytest.mark.parametrize("value", [True, "3", 3.0, -1], ids=repr)
@pytest.mark.parametrize("field", WHOLE_NUMBERS)
def test_config_refuses_what_is_no_whole_number(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field}={value!r} must be a whole number"):
        PAPER.with_(**{field: value})


def test_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAPER.__setattr__("seed", 1)


# The paper's protocol


@pytest.mark.parametrize(("task", "m", "row"), PROTOCOL, ids=[f"{task}-m{m}" for task, m, _ in PROTOCOL])
def test_resolve_gives_the_papers_protocol(task: str, m: int, row: dict[str, str]) -> None:
    config = PAPER.with_(task=task, withheld=m).resolve()
    assert (config.task.n_train, config.task.n_test) == (int(row["train_problems"]), int(row["test_problems"]))
    assert config.train.updates == int(row["default_epochs"]) * math.ceil(int(row["train_problems"]) / 32)
    assert config.train.learning_rate == 5e-4
    assert config.train.batch_size == 32
    assert config.tcn == ("segmented" if task == "rmts" else "sequence")


@pytest.mark.parametrize("task", ["same_different", "rmts", "distribution_of_three", "identity_rules"])
def test_resolve_lowers_the_learning_rate_without_tcn(task: str) -> None:
    assert PAPER.with_(task=task, tcn="none").resolve().train.learning_rate == 5e-5


def test_resolve_keeps_the_learning_rate_with_another_tcn() -> None:
    assert PAPER.with_(task="rmts", tcn="sequence").resolve().train.learning_rate == 5e-4


def test_resolve_keeps_what_was_given() -> None:
    given = {"tcn": "none", "learning_rate": 0.01, "updates": 7, "n_train": 100, "n_test": 50, "batch_size": 10}
    flat = PAPER.with_(**given).resolve().flat()
    assert {name: flat[name] for name in given} == given


def test_resolve_counts_the_smaller_last_batch_as_an_update() -> None:
    config = PAPER.with_(n_train=98, batch_size=10, epochs=3)
    assert config.resolve().train.updates == 30


def test_resolve_twice_changes_nothing() -> None:
    config = PAPER.with_(task="rmts", withheld=95).resolve()
    assert config.resolve() == config


def test_resolve_leaves_nothing_open() -> None:
    assert None not in PAPER.resolve().flat().values()


# Identity


GOLDEN_SETTINGS = (
    '{"batch_size": 32, "confidence": "on", "embedding_size": 128, "encoder": "conv", "gate_init": "joint", '
    '"hidden_size": 512, "identity_version": 2, "images": "glyphs", "key_size": 256, "leak": 0.0, '
    '"leak_bound": false, "leak_into": "controller", "leak_penalty": 0.0, "learning_rate": 0.0005, "model": "esbn", '
    '"n_objects": 100, "n_test": 10000, "n_train": 480, "output": "softmax", "precision": "float32", '
    '"rehearsal": false, "retrieval": "plain", "sampling": "balanced", "seed": 3, "task": "rmts", "tcn": "segmented", '
    '"updates": 3000, "withheld": 95}'
)
"""Written by hand from the paper's tables: 200 epochs of 15 batches, learning rate 5e-4."""


def test_trial_id_has_its_golden_value() -> None:
    # Made without this package: printf '%s' 'GOLDEN_SETTINGS' | sha256sum | cut -c1-16. If this test fails, stored
    # results no longer match their configs: that takes a new IDENTITY_VERSION, and a new golden value.
    assert hashlib.sha256(GOLDEN_SETTINGS.encode()).hexdigest()[:16] == "c673227ebcaf51fd"
    assert PAPER.with_(task="rmts", withheld=95, seed=3).resolve().trial_id() == "c673227ebcaf51fd"


def test_trial_id_is_the_same_in_another_process() -> None:
    code = "from esbn_core.config import PAPER; print(PAPER.resolve().trial_id())"
    env = {"PYTHONHASHSEED": "123", "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == PAPER.resolve().trial_id()


BASE: dict[str, Any] = {
    "withheld": 50,
    "n_train": 100,
    "n_test": 60,
    "tcn": "sequence",
    "learning_rate": 1e-3,
    "updates": 10,
}
"""All that `resolve` would fill in, so that a change of one field changes no other."""

ALTERNATIVES: dict[str, Any] = {
    "task": "identity_rules",
    "withheld": 51,
    "n_objects": 101,
    "images": "0123abcd",
    "n_train": 104,
    "n_test": 64,
    "encoder": "mlp",
    "tcn": "none",
    "embedding_size": 64,
    "output": "sigmoid",
    "confidence": "off",
    "key_size": 128,
    "hidden_size": 256,
    "gate_init": "per_gate",
    "retrieval": "tied",
    "leak": 0.2,
    "leak_into": "key",
    "leak_penalty": 0.1,
    "leak_bound": True,
    "learning_rate": 2e-3,
    "batch_size": 16,
    "updates": 11,
    "precision": "bf16",
    "seed": 1,
    "rehearsal": True,
    "sampling": "as_released",
}


def test_alternatives_cover_every_setting() -> None:
    assert ALTERNATIVES.keys() | {"model"} == PAPER.flat().keys()


NEEDS: dict[str, dict[str, Any]] = {
    "sampling": {"task": "rmts"},
    **{key: {"leak": 0.1} for key in ("leak_into", "leak_penalty", "leak_bound")},
}
"""Settings that exist only beside others."""


@pytest.mark.parametrize("field", ALTERNATIVES)
def test_trial_id_differs_when_one_field_differs(field: str) -> None:
    base = PAPER.with_(**BASE, **NEEDS.get(field, {})).resolve()
    changed = base.with_(**{field: ALTERNATIVES[field]}).resolve()
    assert {name for name, value in changed.flat().items() if value != base.flat()[name]} == {field}
    assert changed.trial_id() != base.trial_id()


def test_trial_id_is_the_same_for_epochs_and_as_many_updates() -> None:
    assert PAPER.with_(epochs=50).resolve().trial_id() == PAPER.with_(updates=50 * 588).resolve().trial_id()


def test_trial_id_is_the_same_for_a_default_and_its_value_spelled_out() -> None:
    spelled = PAPER.with_(tcn="sequence", learning_rate=5e-4, n_train=18_810, n_test=990)
    assert spelled.resolve().trial_id() == PAPER.resolve().trial_id()


def test_trial_id_needs_a_resolved_config() -> None:
    assert not hasattr(PAPER, "trial_id")
    assert hasattr(PAPER.resolve(), "trial_id")


def test_trial_id_needs_sizes_and_tcn_resolved_too() -> None:
    assert not hasattr(PAPER.with_(updates=10, learning_rate=1e-3), "trial_id")
    with pytest.raises(TypeError, match="'task', 'tcn', and 'train'"):
        ResolvedTrial(model=PAPER.model)  # pyright: ignore[reportCallIssue]


def test_config_is_open_again_once_it_is_changed() -> None:
    assert PAPER.resolve().with_(tcn=None, n_train=None, n_test=None, learning_rate=None, updates=None) == PAPER


# Labels


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "baseline"),
        ({"encoder": "mlp"}, "encoder=mlp"),
        ({"tcn": "none", "encoder": "mlp"}, "encoder=mlp,tcn=none"),
        ({"tcn": "none", "model": "lstm"}, "model=lstm,tcn=none"),
        ({"epochs": 5, "confidence": "off"}, "confidence=off,epochs=5"),
        ({"learning_rate": 5e-05}, "learning_rate=5e-05"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arm_label_names_the_changes_in_the_order_of_the_columns(changes: dict[str, Any], label: str) -> None:
    assert arm_label(changes) == label
