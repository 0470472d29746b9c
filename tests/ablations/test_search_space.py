"""Declarations of searches: what they mean, and what is refused before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from ablations import SPACES, Parameter, SearchSpace
from esbn_core.config import PAPER
from esbn_core.errors import ConfigError
from study.planning.declarations import find_space

LEAK = Parameter(choices=[0.0, 0.1])
RATE = Parameter(low=1e-5, high=1e-2, log=True)


def space(parameters: dict[str, Parameter], **more: Any) -> SearchSpace:
    return SearchSpace(**{"name": "mine", "task": "same_different", "withheld": 95, "parameters": parameters, **more})


@pytest.mark.parametrize("name", SPACES)
def test_first_suggestion_is_the_papers_setting(name: str) -> None:
    declared = SPACES[name]
    paper = PAPER.with_(task=declared.task, withheld=declared.withheld, **declared.arm).resolve()
    first = declared.config(declared.defaults())
    assert first.task.validation == declared.n_apart
    assert first.with_(validation=None, seed=0).resolve() == paper


def test_conditional_parameter_is_searched_only_where_it_means_something() -> None:
    declared = space(
        {
            "leak": Parameter(choices=[0.0, 0.1]),
            "leak_into": Parameter(choices=["controller", "key"], when={"leak": [0.1]}),
        }
    )
    assert declared.defaults() == {"leak": 0.0}
    assert declared.active({"leak": 0.1}, "leak_into")


def test_rungs_are_a_ninth_and_a_third_of_the_papers_updates() -> None:
    assert list(space({"learning_rate": RATE}, arm={"updates": 135}).rungs(135)) == [15, 45]


def test_seeds_of_a_search_are_none_of_a_study() -> None:
    assert min(space({"learning_rate": RATE}).all_seeds()) >= 1_000


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"learning_rate": Parameter(low=1e-2, high=1e-3)},
            "parameters.learning_rate.low=0.01 must be below high=0.001",
        ),
        ({"learning_rate": Parameter(low=0, high=1e-3, log=True)}, "low=0 must be above 0 for a log scale"),
        (
            {"learning_rate": Parameter(low=1e-4, high=2)},
            "parameters.learning_rate.high=2 cannot be searched: .* between 0 and 1",
        ),
        ({"learning_rate": Parameter(low=1e-3)}, "high=None must be a number"),
        ({"learning_rate": Parameter()}, "parameters.learning_rate: give either low and high, or choices"),
        ({"learning_rat": RATE}, "did you mean learning_rate"),
        ({"key_size": Parameter(low=0, high=256)}, "key_size.low=0 cannot be searched"),
        ({"tcn": Parameter(choices=["none", "segmented"])}, r"tcn.choices\[1\]='segmented' cannot be searched"),
        ({"tcn": Parameter(choices=["none", "none"])}, "must differ"),
        ({"seed": Parameter(low=0, high=9)}, "parameters.seed=.* cannot be set here"),
        (
            {"leak_into": Parameter(choices=["key"], when={"leak": [0.1]})},
            "parameters.leak_into.when={'leak': .* must name parameters declared before",
        ),
        ({}, "parameters has 0 settings; a search varies from 1"),
        ({5: LEAK}, "5 must be the name of a setting"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[Any, Parameter], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(parameters)


@pytest.mark.parametrize(
    ("name", "parameter", "first"),
    [
        ("learning_rate", Parameter(low=1e-4, high=1e-2), 5e-4),  # the paper's
        ("learning_rate", Parameter(low=1e-3, high=1e-2), 1e-3),
        ("learning_rate", Parameter(low=1e-5, high=1e-4), 1e-4),
        ("key_size", Parameter(low=16, high=128), 128),
        ("encoder", Parameter(choices=["mlp", "random"]), "mlp"),
        ("encoder", Parameter(choices=["mlp", "conv"]), "conv"),
    ],
)
def test_first_suggestion_is_the_papers_setting_or_the_nearest(name: str, parameter: Parameter, first: Any) -> None:
    assert space({name: parameter}).defaults() == {name: first}


@pytest.mark.parametrize("when", [{"leak": []}, {"leak": 0.1}, ["leak"]], ids=str)
def test_bad_condition_is_refused(when: Any) -> None:
    with pytest.raises(
        ConfigError,
        match=r"parameters.leak_into.when\S* must (map earlier parameters to lists|be a list of values of leak)",
    ):
        space({"leak": LEAK, "leak_into": Parameter(choices=["key"], when=when)})


def test_parameter_can_depend_on_one_that_depends_on_another() -> None:
    into = Parameter(choices=["controller", "key"], when={"leak": [0.1]})
    bound = Parameter(choices=[False, True], when={"leak_into": ["key"]})
    chain = space({"leak": LEAK, "leak_into": into, "leak_bound": bound})
    assert chain.active({"leak": 0.1, "leak_into": "key"}, "leak_bound")
    assert not chain.active({"leak": 0.0}, "leak_bound")


def test_parameter_is_not_searched_while_its_parent_is_not() -> None:
    into = Parameter(choices=["controller", "key"], when={"leak": [0.1]})
    bound = Parameter(choices=[False, True], when={"leak_into": ["controller"]})
    chain = space({"leak": LEAK, "leak_into": into, "leak_bound": bound})
    object.__setattr__(bound, "when", {"leak_into": [None]})  # as a setting could be that may be None
    assert not chain.active({"leak": 0.0}, "leak_bound")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"withheld": 99}, "withheld=99"),
        ({"withheld": "95"}, "withheld='95'"),
        ({"task": "nope"}, "task='nope'"),
    ],
)
def test_condition_that_cannot_be_had_is_named_itself(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        space({"learning_rate": RATE}, **settings)
    assert "learning_rate" not in str(refused.value)


def test_search_whose_objects_cannot_be_kept_apart_is_refused() -> None:
    with pytest.raises(ConfigError, match="validation=4 leaves 1 of 5 objects"):
        space({"learning_rate": RATE}, validation=4)
    with pytest.raises(ConfigError, match="fixed by the arm and searched"):
        space({"learning_rate": RATE}, arm={"learning_rate": 1e-3})


YAML = """
name: mine
task: same_different
withheld: 95
parameters:
  learning_rate: {low: 1e-5, high: 1e-2, log: true}
"""


def test_file_of_ones_own_declares_the_same_search_in_yaml_and_python(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    (tmp_path / "b.py").write_text(
        "from ablations import Parameter, SearchSpace\n"
        "SPACE = SearchSpace(name='mine', task='same_different', withheld=95,"
        " parameters={'learning_rate': Parameter(low=1e-5, high=1e-2, log=True)})\n"
    )
    assert find_space(str(tmp_path / "a.yaml")) == find_space(str(tmp_path / "b.py")) == space({"learning_rate": RATE})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (YAML.replace("1e-2", "1e-6"), "a.yaml: parameters.learning_rate.low=1e-05 must be below high=1e-06"),
        (
            YAML.replace("log:", "lg:"),
            "a.yaml: parameters.learning_rate.lg=True is not a field of a parameter; did you mean log",
        ),
        (YAML.replace("task:", "tsk:"), "a.yaml: tsk='same_different' is not a field of a search; did you mean task"),
        (YAML.replace("mine", "sizes"), "name='sizes' is the name of a built-in search"),
    ],
)
def test_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_space(str(tmp_path / "a.yaml"))


def test_unknown_search_is_named_with_its_like() -> None:
    with pytest.raises(ConfigError, match="did you mean sizes"):
        find_space("size")
