"""YAML files: what a study may hold, and what would take all time and memory."""

import io
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from esbn_core.errors import ConfigError
from esbn_core.yaml_files import DEEPEST, MOST_VALUES, read_yaml


def powers(first: str, each: str) -> str:
    """Twelve lines, each of which names the one before nine times."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {each % ', '.join([f'*a{i - 1}'] * 9)}" for i in range(1, 12)]
    return "\n".join(lines)


ENDLESS = {
    "brackets": "[" * 10_000,
    "closed brackets": "[" * 10_000 + "]" * 10_000,
    "braces": "{" * 10_000,
    "dashes": "- " * 10_000,
    "keys of keys": "? " * 10_000,
    "lines of brackets": "[\n" * 10_000,
    "aliases": powers("[x, x]", "[%s]"),
    "merged aliases": powers("{k: 1}", "{<<: [%s]}"),
    "part of itself": "a: &a [*a]",
    "part of what had its name": "a: &a 1\nb: &a [*a]",
    "alias of nothing": "a: *b",
    "many values": "[" + "1, " * 2 * MOST_VALUES + "]",
    "digits": f"a: {'9' * 5_000}",
    "hexadecimal digits": f"a: 0x{'f' * 5_000}",
    "two documents": "a: 1\n---\na: 2",
}
NO_VALUE = {"thirteenth month": "a: 2001-13-01", "object": "a: !!python/object/apply:os.system [echo]"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "reader"),
    [
        *(pytest.param(text, None, id=name) for name, text in {**ENDLESS, **NO_VALUE}.items()),
        *(pytest.param(text, YAML(), id=f"{name}, with comments") for name, text in ENDLESS.items()),
    ],
)
def test_read_yaml_refuses_in_a_sentence_what_has_no_end(tmp_path: Path, text: str, reader: YAML | None) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="study='.*study.yaml' cannot be read as YAML: ") as refused:
        read_yaml(path, "study", reader)
    assert "\n" not in str(refused.value)


def test_read_yaml_takes_what_is_just_within_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("[" * DEEPEST + "]" * DEEPEST)
    assert str(read_yaml(path, "study")) == path.read_text()
    path.write_text(f"a: &a [{'1, ' * (MOST_VALUES // 2 - 3)}]\nb: *a")
    assert len(read_yaml(path, "study")["b"]) == MOST_VALUES // 2 - 3


def test_read_yaml_has_aliases_merges_words_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("a: &a {b: off}\nc: *a\nd: {<<: *a, e: 5e-5}")
    assert read_yaml(path, "study") == {"a": {"b": "off"}, "c": {"b": "off"}, "d": {"b": "off", "e": 5e-5}}


def test_read_yaml_keeps_comments_if_its_reader_does(tmp_path: Path) -> None:
    path, out, yaml = tmp_path / "cluster.yaml", io.StringIO(), YAML()
    path.write_text("a: 1  # why\n")
    yaml.dump(read_yaml(path, "cluster", yaml), out)
    assert out.getvalue() == path.read_text()
