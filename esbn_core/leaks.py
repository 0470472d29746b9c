"""Size of the leak of a trained ESBN, and the network's dependence on it (paper section 6.1).

Legend: B problems, C choices, K key, X units that the leak is added to.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from esbn_core.evaluate import BATCH
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.esbn import ESBN
from esbn_core.tasks.problems import Problems


class LeakMeasures(NamedTuple):
    """Measured on one set of problems after training."""

    leak_rms: float
    """Root mean square of the leak over problems, steps and units."""
    leak_key_spread: float
    """Variation of the keys written at steps 1 and 2: their root mean square distance from the mean over problems,
    divided by their root mean square norm. 0, up to rounding, if the controller has seen nothing of the images."""
    closed_accuracy: float
    """Fraction of problems answered correctly with the leak closed."""
    swapped_accuracy: float
    """The same with each problem given the leak of another problem."""


@torch.no_grad()
def measure_leak(network: SequenceClassifier, images_N1HW: np.ndarray, problems: Problems) -> LeakMeasures | None:
    """Measures a trained network on problems over all objects; None if its core has no leak."""
    core = network.core
    if not isinstance(core, ESBN) or core.leak is None:
        return None
    network = network.cpu()
    objects_N1HW, n = torch.from_numpy(images_N1HW), len(problems.targets_P)
    squares, closed, swapped = 0.0, 0.0, 0.0
    first_keys = []
    indices_PT, targets_P = torch.from_numpy(problems.indices_PT), torch.from_numpy(problems.targets_P)
    sets = (indices_PT, indices_PT.roll(1, dims=0), targets_P)
    for indices_BT, others_BT, targets_B in zip(*(x.split(BATCH) for x in sets), strict=True):
        z_BTZ = network.embed(objects_N1HW, indices_BT)
        leak_BTX, others_leak_BTX = core.leak(z_BTZ), core.leak(network.embed(objects_N1HW, others_BT))
        squares += leak_BTX.square().mean().item() * len(targets_B) / n
        closed += _right(network, core.run(z_BTZ)[0], targets_B) / n
        swapped += _right(network, core.run(z_BTZ, others_leak_BTX)[0], targets_B) / n
        steps = core.run(z_BTZ, leak_BTX)[1]
        first_keys.append(torch.stack([step.key_BK.expand(len(targets_B), -1) for step in steps[:2]]))
    return LeakMeasures(squares**0.5, _spread(torch.cat(first_keys, dim=1)), closed, swapped)


def _right(network: SequenceClassifier, logits_BC: Tensor, targets_B: Tensor) -> int:
    return int((network.per_choice(logits_BC).argmax(dim=-1) == targets_B).sum())


def _spread(key_2BK: Tensor) -> float:
    total = key_2BK.square().sum(-1).mean(dim=1)
    around = (key_2BK - key_2BK.mean(dim=1, keepdim=True)).square().sum(-1).mean(dim=1)
    return (around / total.clamp(min=torch.finfo(total.dtype).tiny)).sqrt().mean().item()
