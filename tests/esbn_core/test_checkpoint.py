"""Checkpoints: what was saved comes back, and anything else is refused before a single number is changed."""

import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from esbn_core import checkpoint
from esbn_core.checkpoint import CheckpointError
from esbn_core.config import PAPER, ResolvedTrial
from esbn_core.objects import glyphs
from esbn_core.position import Position, read_position
from esbn_core.train import Networks, train

VARIANT = PAPER.with_(
    task="distribution_of_three",
    withheld=95,
    n_train=32,
    updates=14,
    n_test=20,
    validation=1,
    encoder="random",
    embedding_size=8,
    key_size=6,
    hidden_size=10,
)
PACK = [replace(VARIANT.resolve(), seed=seed) for seed in range(2)]
IDS = [config.trial_id() for config in PACK]
UPDATES = 14


@pytest.fixture(scope="module")
def saved() -> bytes:
    """A checkpoint after 13 of 14 updates, two of them rungs."""
    kept: list[bytes] = []
    train(PACK, glyphs().scale(), save=kept.append, save_seconds=0, rungs=(4, 12))
    return kept[12]


class Pack:
    """Networks and optimiser to restore into."""

    def __init__(self, pack: list[ResolvedTrial] = PACK):
        self.networks = Networks.of(pack, "cpu")
        self.optimiser = self.networks.optimiser(1e-3)

    def restore(self, data: bytes) -> Position:
        return checkpoint.restore(data, self.networks.parameters, self.optimiser, IDS, UPDATES)

    def numbers(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.networks.parameters.items()}


@pytest.fixture
def untouched() -> Iterator[Pack]:
    """A pack that the test must leave as it was drawn."""
    pack = Pack()
    before = pack.numbers()
    yield pack
    after = pack.numbers()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not pack.optimiser.state


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:size]), data[size:]


def joined(header: dict[str, Any], tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def with_position(data: bytes, **changes: Any) -> bytes:
    header, tensors = split(data)
    position = json.loads(header["__metadata__"]["position"])
    header["__metadata__"]["position"] = json.dumps({**position, **changes})
    return joined(header, tensors)


def with_tensors(data: bytes, change: Callable[[dict[str, Tensor]], object], **position: Any) -> bytes:
    tensors = load(data)
    change(tensors)
    text = split(data)[0]["__metadata__"]["position"]
    return with_position(save(tensors, metadata={"position": text}), **position)


def test_restored_pack_is_the_saved_one(saved: bytes) -> None:
    pack = Pack()
    position, tensors = pack.restore(saved), load(saved)
    assert (position.trial_ids, position.update, [rung[0] for rung in position.rungs]) == (IDS, 13, [4, 12])
    for name, parameter in pack.networks.parameters.items():
        assert torch.equal(parameter, tensors[f"parameter/{name}"])
        state = pack.optimiser.state[parameter]
        assert float(state["step"]) == 13
        assert all(torch.equal(state[moment], tensors[f"{moment}/{name}"]) for moment in checkpoint.MOMENTS)
    again = checkpoint.dump(pack.networks.parameters, pack.optimiser, position)
    assert load(again).keys() == tensors.keys()
    assert read_position(io.BytesIO(again)).text() == position.text()


def test_network_that_has_failed_may_have_numbers_that_are_not_finite(saved: bytes) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        for tensor in tensors.values():
            tensor[1] = torch.nan

    assert Pack().restore(with_tensors(saved, spoil, failures={IDS[1]: "training loss became nan at update 3"}))


ODD = [
    None,
    True,
    -1,
    7,
    1.5,
    float("nan"),
    float("inf"),
    10**30,
    "x",
    "\ud800",
    [],
    [[]],
    [None],
    {},
    {"x": 1},
    [[0, 0]],
]
POSSIBLE = [("update", 11), ("rungs", []), ("failures", {}), ("wall_seconds", 1.5), ("resumed", 7)]
FIELDS = ("trial_ids", "update", "curve", "rungs", "failures", "wall_seconds", "resumed")
WITHIN = {
    "reversed": {"trial_ids": IDS[::-1]},
    "one trial": {"trial_ids": IDS[:1]},
    "same trial twice": {"trial_ids": [IDS[0], IDS[0]]},
    "trials of another pack": {"trial_ids": ["a", "b"]},
    "update beyond the last": {"update": UPDATES + 1},
    "update beyond its curve": {"update": 10**9},
    "update beyond the integers": {"update": 2**31},
    "curve from a later start": {"curve": [[10, [0.1, 0.1], [0.5, 0.5]], [20, [0.1, 0.1], [0.5, 0.5]]]},
    "curve of every tenth update alone": {"curve": [[0, [0.1, 0.1], [0.5, 0.5]], [10, [0.1, 0.1], [0.5, 0.5]]]},
    "curve of one network": {"curve": [[0, [0.1], [0.5]], [10, [0.1], [0.5]]]},
    "curve of whole numbers": {"curve": [[0, [1, 1], [0, 0]], [10, [1, 1], [0, 0]]]},
    "curve of nulls": {"curve": [[0, [None, None], [0.5, 0.5]], [10, [0.1, 0.1], [0.5, 0.5]]]},
    "curve without accuracies": {"curve": [[0, [0.1, 0.1]], [10, [0.1, 0.1]]]},
    "rung to come": {"rungs": [[14, [0.1, 0.1], [0.5, 0.5]]]},
    "rung of one network": {"rungs": [[4, [0.1], [0.5]]]},
    "failure of another trial": {"failures": {"x": "why"}},
    "failure without a reason": {"failures": {IDS[0]: None}},
    "failure that cannot be stored": {"failures": {IDS[0]: "\ud800"}},
    "negative time": {"wall_seconds": -1.0},
    "one field more": {"colour": "red"},
}


@pytest.mark.parametrize("value", ODD, ids=map(repr, ODD))
@pytest.mark.parametrize("name", FIELDS)
def test_position_with_an_odd_field_is_refused(saved: bytes, untouched: Pack, name: str, value: Any) -> None:
    if (name, value) not in POSSIBLE:
        with pytest.raises(CheckpointError):
            untouched.restore(with_position(saved, **{name: value}))


@pytest.mark.parametrize("changes", WITHIN.values(), ids=WITHIN.keys())
def test_position_of_no_such_pack_is_refused(saved: bytes, untouched: Pack, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        untouched.restore(with_position(saved, **changes))


@pytest.mark.parametrize("name", FIELDS)
def test_position_without_a_field_is_refused(saved: bytes, untouched: Pack, name: str) -> None:
    header, tensors = split(saved)
    position = json.loads(header["__metadata__"]["position"])
    del position[name]
    header["__metadata__"]["position"] = json.dumps(position)
    with pytest.raises(CheckpointError):
        untouched.restore(joined(header, tensors))


def some(saved: bytes) -> list[str]:
    """Tensors of each kind."""
    names = [
        sorted(name for name in load(saved) if name.startswith(kind))
        for kind in ("parameter/", "exp_avg/", "exp_avg_sq/")
    ]
    return [name for kind in names for name in kind[::6]]


TENSORS: dict[str, Callable[[Tensor], Tensor | None]] = {
    "missing": lambda tensor: None,
    "nested": lambda tensor: tensor[None],
    "one network": lambda tensor: tensor[:1].clone(),
    "three networks": lambda tensor: torch.cat([tensor, tensor[:1]]),
    "one number": lambda tensor: torch.zeros(1),
    "no number": lambda tensor: torch.zeros(0),
    "scalar": lambda tensor: torch.tensor(0.5),
    "float64": lambda tensor: tensor.double(),
    "float16": lambda tensor: tensor.half(),
    "bfloat16": lambda tensor: tensor.bfloat16(),
    "int32": lambda tensor: tensor.int(),
    "bool": lambda tensor: tensor.bool(),
    "nan": lambda tensor: torch.full_like(tensor, torch.nan),
    "one inf": lambda tensor: torch.where(torch.arange(tensor.numel()).view_as(tensor) == 1, torch.inf, tensor),
}


@pytest.mark.parametrize("change", TENSORS.values(), ids=TENSORS.keys())
def test_tensor_that_is_odd_is_refused(
    saved: bytes, untouched: Pack, change: Callable[[Tensor], Tensor | None]
) -> None:
    for name in some(saved):

        def put(tensors: dict[str, Tensor], name: str = name) -> None:
            changed = change(tensors.pop(name))
            if changed is not None:
                tensors[name] = changed

        with pytest.raises(CheckpointError):
            untouched.restore(with_tensors(saved, put))


def test_tensor_of_another_name_is_refused(saved: bytes, untouched: Pack) -> None:
    for name in some(saved):
        with pytest.raises(CheckpointError):
            untouched.restore(
                with_tensors(saved, lambda tensors, name=name: tensors.update({f"{name}_": tensors[name].clone()}))
            )


@pytest.mark.parametrize("value", ODD, ids=map(repr, ODD))
def test_header_with_an_odd_entry_is_refused(saved: bytes, untouched: Pack, value: Any) -> None:
    header, tensors = split(saved)
    entry = "parameter/core.output.bias_O"
    for name in ("dtype", "shape", "data_offsets"):
        with pytest.raises(CheckpointError):
            untouched.restore(joined({**header, entry: {**header[entry], name: value}}, tensors))
    for name in (entry, "__metadata__"):
        with pytest.raises(CheckpointError):
            untouched.restore(joined({**header, name: value}, tensors))
    with pytest.raises(CheckpointError):
        untouched.restore(joined({**header, "__metadata__": {"position": value}}, tensors))
    with pytest.raises(CheckpointError):
        untouched.restore(joined(value, tensors))


@pytest.mark.parametrize("size", [0, 1, 2**20, 10**8, 10**8 + 1, 2**63, 2**64 - 1])
def test_header_of_a_wrong_length_is_refused(saved: bytes, untouched: Pack, size: int) -> None:
    with pytest.raises(CheckpointError):
        untouched.restore(size.to_bytes(8, "little") + saved[8:])


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5_000, b"\xff" * 10])
def test_header_that_json_does_not_read_is_refused(saved: bytes, untouched: Pack, text: bytes) -> None:
    with pytest.raises(CheckpointError):
        untouched.restore(len(text).to_bytes(8, "little") + text)
    header, tensors = split(saved)
    header["__metadata__"]["position"] = text.decode(errors="replace")
    with pytest.raises(CheckpointError):
        untouched.restore(joined(header, tensors))


def test_checkpoint_that_is_cut_off_is_refused(saved: bytes, untouched: Pack) -> None:
    header_end = 8 + int.from_bytes(saved[:8], "little")
    for cut in (*range(12), *range(12, header_end, 97), *range(header_end, len(saved), 397), len(saved) - 1):
        with pytest.raises(CheckpointError):
            untouched.restore(saved[:cut])
    with pytest.raises(CheckpointError):
        untouched.restore(saved + b"\0")


def test_random_bytes_are_refused(saved: bytes, untouched: Pack) -> None:
    draw = random.Random(0)
    for size in range(0, 2_000, 41):
        with pytest.raises(CheckpointError):
            untouched.restore(draw.randbytes(size))
        with pytest.raises(CheckpointError):
            untouched.restore(size.to_bytes(8, "little") + draw.randbytes(size))


def test_header_with_a_random_byte_is_refused_or_restored(saved: bytes) -> None:
    draw = random.Random(0)
    header_end = 8 + int.from_bytes(saved[:8], "little")
    pack = Pack()
    refused = 0
    for _ in range(400):
        data = bytearray(saved)
        data[draw.randrange(header_end)] = draw.randrange(256)
        before = pack.numbers()
        try:
            pack.restore(bytes(data))
        except CheckpointError:
            refused += 1
            after = pack.numbers()
            assert all(torch.equal(before[name], after[name]) for name in before)
    assert 200 < refused < 400, "some bytes are digits of a loss"
