"""Checkpoints of a pack as safetensors: weights, Adam's moments, and the position as JSON. Nothing is unpickled.

Batches and problems come from named streams of the seed, so no random state needs saving: the number of updates made
is the position in the data.

Legend: K networks.
"""

import io
from collections.abc import Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from esbn_core.position import Position, read_position

MOMENTS = ("exp_avg", "exp_avg_sq")


def dump(parameters: Mapping[str, Tensor], optimiser: torch.optim.Adam, position: Position) -> bytes:
    """Serialises stacked parameters and their optimiser state after `position.update` updates."""
    tensors = {f"parameter/{name}": parameter.detach() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        state = optimiser.state[parameter]
        tensors |= {f"{moment}/{name}": state[moment] for moment in MOMENTS if moment in state}
    on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    return save(on_cpu, metadata={"position": position.text()})


class CheckpointError(ValueError):
    """A checkpoint that is incomplete or belongs to another pack."""


def restore(
    data: bytes,
    parameters: Mapping[str, Tensor],
    optimiser: torch.optim.Adam,
    trial_ids: Sequence[str],
    updates: int,
) -> Position:
    """Restores in place what `dump` serialised, and returns the position.

    Args:
        parameters: stacked parameters of the pack to restore, [K, ...] each.
        trial_ids: trials of the pack, in its order.
        updates: total updates of the pack.
    Raises:
        CheckpointError: the data are incomplete or belong to another pack; nothing has been changed.
    """
    try:
        position, tensors = read_position(io.BytesIO(data)), load(data)
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint cannot be read: {error}") from None
    if position.trial_ids != list(trial_ids):
        raise CheckpointError(f"the checkpoint belongs to trials {position.trial_ids}, not {list(trial_ids)}")
    if position.update > updates:
        raise CheckpointError(f"the checkpoint is at update {position.update}, but the pack ends at {updates}")
    _check(tensors, parameters, [k for k, trial_id in enumerate(trial_ids) if trial_id not in position.failures])
    for name, parameter in parameters.items():
        parameter.data.copy_(tensors[f"parameter/{name}"])
        if f"{MOMENTS[0]}/{name}" in tensors:
            moments = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS}
            step = torch.tensor(float(position.update), device=parameter.device)
            optimiser.state[parameter] = {"step": step, **moments}
    return position


def _check(tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor], sound: list[int]) -> None:
    """Raises `CheckpointError` unless each parameter has its tensor and both moments or none, and nothing else exists.

    Args:
        sound: networks whose numbers must be finite: those that have not failed.
    """
    left = dict(tensors)
    for name, parameter in parameters.items():
        kinds = ["parameter", *(moment for moment in MOMENTS if f"{moment}/{name}" in tensors)]
        if len(kinds) == len(MOMENTS):
            raise CheckpointError(f"the checkpoint has only one of the two moments of {name}")
        for kind in kinds:
            tensor = left.pop(f"{kind}/{name}", None)
            if tensor is None or (tensor.shape, tensor.dtype) != (parameter.shape, parameter.dtype):
                found = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
                raise CheckpointError(
                    f"the checkpoint has {found} as {kind}/{name}, not {parameter.dtype} {list(parameter.shape)}"
                )
            if not tensor[sound].isfinite().all():
                raise CheckpointError(f"the checkpoint has a number in {kind}/{name} that is not finite")
    if left:
        raise CheckpointError(f"the checkpoint has {min(left)}, which belongs to other networks")
