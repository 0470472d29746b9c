"""Training position of a pack, stored in the header of its checkpoint. Imports no torch."""

import itertools
import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from esbn_core.vocabulary import curve_points

LARGEST_HEADER = 100_000_000  # bytes; the limit of safetensors

Rung = tuple[int, list[float], list[float]]
"""Updates made before, and mean loss (nats) and accuracy of each network on its test (or validation) problems."""


@dataclass
class Position:
    """Training position of a pack: the part of a checkpoint besides weights and optimiser state."""

    trial_ids: list[str]
    update: int = 0
    curve: list[tuple[int, list[float], list[float]]] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """trial_id -> why that network has failed."""
    wall_seconds: float = 0.0
    resumed: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Reads the output of `text`; raises `ValueError` for anything else."""
        try:
            values = json.loads(text)
        except (TypeError, RecursionError) as error:
            raise ValueError(f"its position is not JSON: {error}") from None
        names = [one.name for one in fields(cls)]
        if not isinstance(values, dict) or values.keys() != set(names):
            raise ValueError(f"its position must have the fields {', '.join(names)}")
        position = cls(**values)
        for name, sound in position._checks().items():
            if not sound:
                raise ValueError(f"its position has an impossible value of {name}")
        return position

    def _checks(self) -> dict[str, bool]:
        """Returns for each field whether training can produce its value."""
        if not _is_list(self.trial_ids, str) or not _is_count(self.update):
            return {"trial_ids or update": False}
        n = len(self.trial_ids)
        return {
            "trial_ids": 0 < n == len(set(self.trial_ids)),
            "curve": _is_course(self.curve, n)
            and all(
                point is not None and point[0] == update
                for point, update in itertools.zip_longest(self.curve, curve_points(self.update))
            ),
            "rungs": _is_course(self.rungs, n) and all(rung[0] <= self.update for rung in self.rungs),
            "failures": isinstance(self.failures, dict)
            and self.failures.keys() <= set(self.trial_ids)
            and all(isinstance(reason, str) and reason.isprintable() for reason in self.failures.values()),
            "wall_seconds": type(self.wall_seconds) is float and 0 <= self.wall_seconds < math.inf,
            "resumed": _is_count(self.resumed),
        }


class _File(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_position(file: _File) -> Position:
    """Reads the position from a checkpoint without its tensors; raises `ValueError` if it has none.

    A safetensors file starts with the length of its JSON header, in 8 bytes.
    """
    size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER:
        raise ValueError(f"its header of {size} bytes is too long")
    try:
        return Position.parse(json.loads(file.read(size))["__metadata__"]["position"])
    except (TypeError, KeyError, RecursionError):
        raise ValueError("its header has no position") from None


def _is_list(value: Any, kind: type) -> bool:
    return type(value) is list and all(type(one) is kind for one in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_course(points: Any, n: int) -> bool:
    """Returns whether these are points of the curves of n networks: (updates made before, losses, accuracies)."""
    return isinstance(points, list) and all(_is_point(point, n) for point in points)


def _is_point(point: Any, n: int) -> bool:
    if not isinstance(point, list) or len(point) != 3:
        return False
    update, *courses = point
    return _is_count(update) and all(_is_list(values, float) and len(values) == n for values in courses)
