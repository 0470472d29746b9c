"""Loss and accuracy of a pack, as means over problems.

Legend: K networks, N objects, P problems, T steps.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional as F

from esbn_core.models.classifier import SequenceClassifier
from esbn_core.tasks.problems import Problems

BATCH = 1_000  # problems evaluated at once; bounds memory


class PackProblems(NamedTuple):
    """Problem sets of K networks on a device; indices point into each network's own objects."""

    objects_KN1HW: Tensor
    indices_KPT: Tensor
    targets_KP: Tensor

    def rows(self, rows_KB: Tensor) -> "PackProblems":
        """The problems of one batch, chosen for each network apart."""
        network_K1 = torch.arange(len(rows_KB), device=rows_KB.device)[:, None]
        return self._replace(
            indices_KPT=self.indices_KPT[network_K1, rows_KB], targets_KP=self.targets_KP[network_K1, rows_KB]
        )


def pack_problems(
    problems: Sequence[Problems], pools: Sequence[np.ndarray], images_N1HW: np.ndarray, device: str
) -> PackProblems:
    """Stacks problem sets with the images of their pools: the sorted numbers of the objects each set draws from."""
    indices = [np.searchsorted(pool, p.indices_PT) for p, pool in zip(problems, pools, strict=True)]
    return PackProblems(
        torch.from_numpy(images_N1HW[np.stack(pools)]).to(device),
        torch.from_numpy(np.stack(indices)).to(device),
        torch.from_numpy(np.stack([p.targets_P for p in problems])).to(device),
    )


Measure = Callable[[dict[str, Tensor], dict[str, Tensor], PackProblems], tuple[Tensor, Tensor, Tensor]]


def measure(network: SequenceClassifier) -> Measure:
    """Makes the function of stacked parameters, buffers and problems that gives, for each of the K networks, its mean
    cross-entropy in nats, its accuracy, and the penalty that training adds to the former: [K] each.
    """

    def of_one(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], problems: PackProblems
    ) -> tuple[Tensor, Tensor, Tensor]:
        objects_N1HW, indices_PT, targets_P = problems
        logits_PC, penalty = functional_call(network, (parameters, buffers), (objects_N1HW, indices_PT, True))
        right_P = logits_PC.argmax(dim=-1) == targets_P
        return F.cross_entropy(logits_PC, targets_P), right_P.double().mean(), penalty

    return vmap(of_one)


@torch.no_grad()
def evaluate(
    measured: Measure, parameters: dict[str, Tensor], buffers: dict[str, Tensor], problems: PackProblems
) -> tuple[list[float], list[float]]:
    """Mean loss (nats) and accuracy over all problems, one number per network."""
    n_problems = problems.targets_KP.shape[1]
    totals_2K = torch.zeros(2, len(problems.targets_KP), dtype=torch.float64)
    for start in range(0, n_problems, BATCH):
        part = slice(start, start + BATCH)
        batch = problems._replace(indices_KPT=problems.indices_KPT[:, part], targets_KP=problems.targets_KP[:, part])
        loss_K, accuracy_K, _ = measured(parameters, buffers, batch)
        means_2K = torch.stack([loss_K.double(), accuracy_K]).cpu()
        totals_2K += means_2K * batch.targets_KP.shape[1]
    loss, accuracy = (totals_2K / n_problems).tolist()
    return loss, accuracy
