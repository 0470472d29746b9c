"""Studies and searches whose files have a value or a key of the wrong kind somewhere: planned, or refused at once."""

import copy
import datetime
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from esbn_core.errors import ConfigError
from study.planning import declarations
from study.planning.declarations import find_space, find_study
from study.planning.plan import plan

OWN_MODEL = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Own:
    width: int = 8
    kind: str = "x"
    core = None

    def __post_init__(self):
        if self.width < 1:
            raise ValueError("too narrow")
"""

STUDY: dict[str, Any] = {
    "name": "mine",
    "question": "Which part matters?",
    "source": "Table 9",
    "grids": [
        {
            "arms": [
                {},
                {"encoder": "mlp", "learning_rate": 1e-3, "key_size": 64, "leak": 0.1, "leak_penalty": 0.5},
                {"tcn": "none", "confidence": "off", "leak": "learned", "leak_bound": True, "epochs": 3},
                {"model": "lstm", "hidden_size": 32, "batch_size": 8, "n_train": 100, "updates": 7},
            ],
            "conditions": {"distribution_of_three": [95, 50], "rmts": [0]},
            "seeds": 2,
            "keys": False,
        },
        {"arms": [{}], "conditions": {"same_different": [98]}, "keys": True},
    ],
}

SEARCH: dict[str, Any] = {
    "name": "mine",
    "question": "What does it do best with?",
    "task": "distribution_of_three",
    "withheld": 90,
    "arm": {"updates": 4, "encoder": "mlp"},
    "parameters": {
        "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
        "key_size": {"low": 16, "high": 256},
        "leak": {"choices": [0.0, 0.1, "learned"]},
        "leak_into": {"choices": ["controller", "key"], "when": {"leak": [0.1, "learned"]}},
        "leak_bound": {"choices": [False, True], "when": {"leak_into": ["key"], "leak": [0.1]}},
    },
    "validation": 4,
    "seeds": 2,
    "suggestions": 5,
}

OWN_STUDY: dict[str, Any] = {
    "name": "mine",
    "question": "?",
    "grids": [
        {"arms": [{"model": "own_of_odd:Own", "width": 4, "kind": "y"}], "conditions": {"rmts": [95]}, "seeds": 1}
    ],
}

OWN_SEARCH: dict[str, Any] = {
    "name": "mine",
    "task": "same_different",
    "withheld": 90,
    "arm": {"model": "own_of_odd:Own"},
    "parameters": {"width": {"low": 1, "high": 16}, "kind": {"choices": ["x", "y"]}},
}

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 20260101, 2**31, 2**63, -(2**64), 10**400),
    *(0.5, 1.0, 1e-320, -0.0, math.nan, math.inf),
    *("", "a b", "95", "learned", "own_of_odd:Own", ":", "own_of_odd:", "self", "kind", "seed"),
    *("long" * 700, "\x1b[31m", "\ud800", "grün", "a\nb"),
    *(datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), b"bytes", {1, 2}),
    *([], [None], [1], ["mlp"], [[1]], [{}], [95, 95], list(range(6_000)), [{}] * 6_000, [math.nan]),
    *({}, {"a": 1}, {None: 1}, {1: 2}, {"low": 1, "high": 2}, {"choices": [1]}, {"a": {"b": [{"c": None}]}}),
    *({"self": 1}, {"rmts": [95]}, {f"k{i}": i for i in range(5_000)}),
]
KEYS = [value for value in VALUES if value.__hash__ is not None]


def nodes(about: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a document, from the whole to its leaves."""
    yield place
    for key, value in about.items() if isinstance(about, dict) else enumerate(about) if isinstance(about, list) else ():
        yield from nodes(value, (*place, key))


def changed(document: Any, place: tuple[Any, ...], value: Any, key: bool = False) -> Any:
    """The document with another value at a place, or with another key there."""
    if not place:
        return value
    document = copy.deepcopy(document)
    parent = document
    for step in place[:-1]:
        parent = parent[step]
    if key:
        items = [(value if name == place[-1] else name, about) for name, about in parent.items()]
        parent.clear()
        parent.update(items)
    else:
        parent[place[-1]] = value
    return document


FINDERS: Mapping[str, Callable[[str], object]] = {
    "study": lambda path: plan(find_study(path)),
    "search": lambda path: find_space(path).defaults(),
    "study of an own model": lambda path: plan(find_study(path)),
    "search of an own model": lambda path: find_space(path).defaults(),
}
DOCUMENTS = {
    "study": STUDY,
    "search": SEARCH,
    "study of an own model": OWN_STUDY,
    "search of an own model": OWN_SEARCH,
}
PLACES = [(what, place) for what, document in DOCUMENTS.items() for place in nodes(document)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_of_odd.py").write_text(OWN_MODEL)
    return tmp_path


def refusal(what: str, path: Path) -> str | None:
    """What a file is refused with, in a sentence and within a second; None if it is planned."""
    begun = time.process_time()
    try:
        FINDERS[what](str(path))
        message = None
    except ConfigError as error:
        message = str(error)
        assert message and "\n" not in message and len(message) < 1_000
    assert time.process_time() - begun < 1
    return message


@pytest.mark.parametrize("what", DOCUMENTS)
def test_document_itself_is_planned(folder: Path, what: str) -> None:
    (folder / "a.yaml").write_text(json.dumps(DOCUMENTS[what]))
    assert refusal(what, folder / "a.yaml") is None


@pytest.mark.parametrize(("what", "place"), PLACES, ids=str)
def test_odd_value_is_planned_or_refused_in_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str, place: tuple[Any, ...]
) -> None:
    for value in VALUES:
        document = changed(DOCUMENTS[what], place, value)
        monkeypatch.setattr(declarations, "read_yaml", lambda *_, document=document: document)
        message = refusal(what, folder / "a.yaml")
        assert message is None or any(field in message for field in ("file=", *DOCUMENTS[what]))


KEYED = [(what, place) for what, place in PLACES if place and isinstance(place[-1], str)]


@pytest.mark.parametrize(("what", "place"), KEYED, ids=str)
def test_odd_key_is_planned_or_refused_in_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str, place: tuple[Any, ...]
) -> None:
    for key in KEYS:
        document = changed(DOCUMENTS[what], place, key, key=True)
        monkeypatch.setattr(declarations, "read_yaml", lambda *_, document=document: document)
        refusal(what, folder / "a.yaml")


TEXT = """
name: mine
question: {value}
grids:
  - {{arms: [{{}}, {{encoder: {value}}}], conditions: {{same_different: {value}}}, seeds: 1}}
"""
SNIPPETS = (
    *("!!set {a, b}", "!!binary aGk=", "!!omap [a: 1]", "!mine x", "!!python/name:os.system", "!!int x", "!!float y"),
    *("!!timestamp x", "!!null x", "!!bool x", "*nowhere", "&a [*a]", "{[a]: b}", "{{a: b}: c}", "{<<: 5}", "@", "'"),
    *("2024-13-45", "0x" + "f" * 900, "1" * 2_900, "[" * 100, "'" + "x" * 2_900 + "'", "\u2028", "%x", "- a", "|"),
)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet[:12])
def test_odd_yaml_is_refused_in_a_sentence(folder: Path, snippet: str) -> None:
    (folder / "a.yaml").write_text(TEXT.format(value=snippet))
    assert refusal("study", folder / "a.yaml") is not None


def write_study(folder: Path, **changes: Any) -> Path:
    path = folder / "a.yaml"
    path.write_text(json.dumps({**STUDY, **changes}))
    return path


GRID: dict[str, Any] = {"arms": [{}], "conditions": {"rmts": [95]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grids": [{**GRID, "seeds": 20260101}]}, r"grids\[0\].seeds=20260101 must be .* 1 to 1,000: networks per"),
        ({"grids": [{**GRID, "arms": [{"null": 1}]}]}, r"grids\[0\].arms\[0\].null=1: .* no setting 'null'"),
        ({"grids": [GRID, {**GRID, "arms": [{"encoder": ["mlp"]}]}]}, r"grids\[1\].arms\[0\].encoder=\['mlp'\] is unk"),
        ({"grids": [{**GRID, "arms": [{"self": 1}]}]}, r"grids\[0\].arms\[0\].self=1: .* no setting 'self'"),
        ({"grids": [{**GRID, "arms": [{"leak": 0.1, "leak_penalty": 10**400}]}]}, "leak_penalty=1000.* at least 0"),
        ({"grids": [{**GRID, "arms": [{"epochs": 2**31 - 1}]}]}, "epochs=2147483647 makes .* choose fewer"),
        ({"grids": [{**GRID, "conditions": {"rmts": [95, True]}}]}, r"grids\[0\].conditions.rmts\[1\]=True must be"),
        (
            {"grids": [{**GRID, "arms": [{}] * 100, "conditions": {"rmts": [95] * 51}}]},
            "5,100 variants; .* at most 5,000",
        ),
        ({"grids": [{**GRID, "arms": [{}] * 10_001}]}, r"grids\[0\].arms=.* has 10,001 values; give at most 10,000"),
        ({"grids": [GRID], "name": "n" * 201}, "name='nnn.* must have at most 200 bytes"),
        ({"grids": [GRID], "question": "q" * 1_001}, r"question='qqq.*\(1,003 characters\) must have at most 1,000"),
        ({"grids": [{**GRID, "arms": [{"model": "own_of_odd:Own", "width": 0}]}]}, r"width=0 is refused .* too narrow"),
        ({"grids": [{**GRID, "arms": [{"model": "own_of_odd:Own", "kind": ["a"]}]}]}, r"kind=\['a'\] must be one word"),
    ],
    ids=lambda part: part[:30] if isinstance(part, str) else "",
)
def test_refusal_names_the_field_by_its_path(folder: Path, changes: dict[str, Any], message: str) -> None:
    path = write_study(folder, **changes)
    with pytest.raises(ConfigError, match=message):
        plan(find_study(str(path)))


def test_plan_of_too_many_seeds_is_refused_at_once(folder: Path) -> None:
    study = find_study("paper")
    with pytest.raises(ConfigError, match="name='paper' has 355,000 trials .* at most 50,000, so choose fewer seeds"):
        plan(study, seeds=1_000)


def test_own_model_whose_default_cannot_be_stored_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "own_of_lists.py").write_text(
        "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Own:\n"
        "    widths: list = dataclasses.field(default_factory=list)\n    core = None\n"
    )
    path = write_study(folder, grids=[{**GRID, "arms": [{"model": "own_of_lists:Own"}]}])
    with pytest.raises(ConfigError, match=r"model='own_of_lists:Own' has a default that cannot be stored .*tuples"):
        find_study(str(path))


def test_search_with_many_dependent_parameters_is_read_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long here is the parser of YAML, which the limit of a second is not for."""
    fields = [f"    s{i}: int = 1" for i in range(40)]
    (folder / "own_of_many.py").write_text(
        "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Own:\n"
        + "\n".join(fields)
        + "\n    core = 1\n"
    )
    parameters = {f"s{i}": {"choices": [1, 2], "when": {f"s{j}": [1] for j in range(i)}} for i in range(40)}
    document = {**OWN_SEARCH, "arm": {"model": "own_of_many:Own"}, "parameters": parameters}
    monkeypatch.setattr(declarations, "read_yaml", lambda *_: document)
    assert refusal("search", folder / "a.yaml") is None


@pytest.mark.parametrize("suffix", [".yaml", ".YAML", ".yml"])
def test_file_is_known_by_its_suffix_in_any_case(folder: Path, suffix: str) -> None:
    path = write_study(folder, grids=[GRID]).rename(folder / f"b{suffix}")
    assert find_study(str(path)).name == "mine"


DECLARATIONS = (
    "Study(name='a', question='?', grids=[5])",
    "Study(name='a', question='?', grids=(grid for grid in ()))",
    "Study(name='a', question='?', grids=[Grid(arms='abc', conditions={'rmts': [95]})])",
    "Study(name='a', question='?', grids=[Grid(arms=[{1: 2}], conditions={'rmts': [95]})])",
    "Study(name='a', question='?', grids=[Grid(arms=[{'encoder': object()}], conditions={'rmts': [95]})])",
    "Study(name='a', question='?', grids=[Grid(arms=[{'learning_rate': 1j}], conditions={'rmts': [95]})])",
    "Study(name='a', question='?', grids=[Grid(arms=[{}], conditions={'rmts': range(10**9)})])",
    "Study(name='a', question='?', grids=[Grid(arms=[{}], conditions={'rmts': range(10**30)})])",
    "Study(name='a', question='?', grids=[Grid(arms=[{}], conditions={'rmts': [95]}, seeds=10**5000)])",
)


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_odd_python_is_refused_in_a_sentence(folder: Path, declaration: str) -> None:
    (folder / "a.py").write_text(f"from ablations import Grid, Study\n\nSTUDY = {declaration}\n")
    assert refusal("study", folder / "a.py") is not None
