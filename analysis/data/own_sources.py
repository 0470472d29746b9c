"""Arms of models of the user's own, told apart by the source of the model where it was changed."""

import json

import pyarrow as pa

SOURCE_COLUMNS = ("arm", "model", "config")
"""Columns that `with_sources` needs."""


def with_sources(trials: pa.Table) -> pa.Table:
    """Returns rows of ``trials`` whose arm ends in a hash of the model's source, where the arm has several sources.

    ``model=mine:Mine`` becomes ``model=mine:Mine@3f9a2c``, so that grouping by arm never mixes two versions of a model.

    Args:
        trials: with `SOURCE_COLUMNS`.
    """
    arms = trials["arm"].to_pylist()
    own = [i for i, model in enumerate(trials["model"].to_pylist()) if model and ":" in model]
    sources = {i: _source(trials["config"][i].as_py()) for i in own}
    of_arm: dict[str, set[str]] = {}
    for i, source in sources.items():
        of_arm.setdefault(arms[i], set()).add(source)
    several = {arm for arm, known in of_arm.items() if len(known) > 1}
    if not several:
        return trials
    for i, source in sources.items():
        if arms[i] in several:
            arms[i] = f"{arms[i]}@{source[:6]}"
    return trials.set_column(trials.schema.get_field_index("arm"), trials.schema.field("arm"), [arms])


def _source(config: str | None) -> str:
    try:
        return str(json.loads(config or "{}").get("source", ""))
    except (ValueError, AttributeError, RecursionError):  # of a file that other code has written
        return ""
