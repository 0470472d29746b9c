"""Checkpoints of a pack as safetensors: weights, Adam's moments, and the position as JSON. Nothing is unpickled.

Batches and problems come from named streams of the seed, so no random state needs saving: the number of updates made
is the position in the data.
"""

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")


def dump(parameters: dict[str, Tensor], optimiser: torch.optim.Adam, position: dict[str, Any]) -> bytes:
    """Serialises stacked parameters and their optimiser state after position["update"] updates."""
    tensors = {f"parameter/{name}": parameter.detach() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        state = optimiser.state[parameter]
        tensors |= {f"{moment}/{name}": state[moment] for moment in MOMENTS if moment in state}
    on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    return save(on_cpu, metadata={"position": json.dumps(position)})


class CheckpointError(ValueError):
    """A checkpoint that is torn, or of other networks than those to restore."""


def restore(data: bytes, parameters: dict[str, Tensor], optimiser: torch.optim.Adam) -> dict[str, Any]:
    """Puts back in place what `dump` serialised, and returns the position.

    Raises:
        CheckpointError: the data are not whole or not of networks like these; nothing has been changed then.
    """
    try:
        position, tensors = json.loads(header(data)["position"]), load(data)
        fits = all(tensors[f"parameter/{name}"].shape == parameter.shape for name, parameter in parameters.items())
    except (ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint cannot be read: {error}") from None
    if not fits:
        raise CheckpointError("the checkpoint is of networks of another shape")
    for name, parameter in parameters.items():
        parameter.data.copy_(tensors[f"parameter/{name}"])
        if f"{MOMENTS[0]}/{name}" in tensors:
            moments = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS}
            step = torch.tensor(float(position["update"]), device=parameter.device)
            optimiser.state[parameter] = {"step": step, **moments}
    return position


def header(data: bytes) -> dict[str, str]:
    """Returns the metadata of a safetensors file: its first 8 bytes are the length of the JSON that follows."""
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
