"""What the front page says can be done can be done."""

import re
import shlex
from pathlib import Path

import pytest

from study.cli import main
from study.find import find_study
from study.plan import plan

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PLACES = (r"^ {4}(esbn [a-z].*)$", r"`(esbn [a-z][^`]*)`", r"&& (esbn [a-z][^\"]*)")
COMMANDS = sorted({command for place in PLACES for command in re.findall(place, README, flags=re.MULTILINE)})
STUDIES = [
    (kind, text)
    for kind, text in re.findall(r"```(yaml|python)\n(.*?)```", README, flags=re.DOTALL)
    if "key_size" in text
]


def test_readme_names_the_commands() -> None:
    assert len(COMMANDS) > 12
    assert {shlex.split(command)[1] for command in COMMANDS} == set(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command_is_understood(command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    main.commands[name].make_context(name, arguments)


def test_readme_studies_ask_for_the_same_trials(tmp_path: Path) -> None:
    plans = []
    for kind, text in STUDIES:
        path = tmp_path / f"key_size.{'py' if kind == 'python' else 'yaml'}"
        path.write_text(text)
        plans.append({trial.trial_id for trial in plan(find_study(str(path)))})
    assert len(plans) == 2
    assert plans[0] == plans[1]
    assert len(plans[0]) == 30


def test_readme_pictures_are_there() -> None:
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (Path(__file__).parents[1] / path).is_file()
