"""Loss and accuracy of a pack, as means over problems.

Legend: K networks, N objects, X an object's image or embedding, P problems, B problems of a batch, T steps, M images
shown in a batch.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.layers import in_bf16
from esbn_core.tasks.problems import Problems

BATCH = 1_000  # problems of all networks evaluated at once; bounds memory
BATCH_ON_GPU = 10_000


class PackProblems(NamedTuple):
    """Problem sets of K networks on a device; indices point into each network's own objects."""

    objects_KNX: Tensor
    """Images, or their embeddings where the encoder is not trained."""
    indices_KPT: Tensor
    targets_KP: Tensor

    def rows(self, rows_KB: Tensor) -> "PackProblems":
        """Returns one batch of problems, chosen separately for each network, with the objects they may show."""
        network_K1 = torch.arange(len(rows_KB), device=rows_KB.device)[:, None]
        batch = self._replace(
            indices_KPT=self.indices_KPT[network_K1, rows_KB], targets_KP=self.targets_KP[network_K1, rows_KB]
        )
        return batch._shown() if batch.indices_KPT[0].numel() < self.objects_KNX.shape[1] else batch

    def _shown(self) -> "PackProblems":
        """Keeps only the objects shown, each once, plus fillers for networks that show fewer than others."""
        shown_KM, order_KM = self.indices_KPT.flatten(1).sort(dim=1)
        rank_KM = (shown_KM.diff(dim=1, prepend=shown_KM[:, :1]) != 0).cumsum(dim=1)
        distinct_KM = torch.zeros_like(shown_KM).scatter(1, rank_KM, shown_KM)
        if distinct_KM.device.type == "cpu":  # on a GPU, reading the number would force a wait
            distinct_KM = distinct_KM[:, : int(rank_KM.max()) + 1]
        network_K1 = torch.arange(len(distinct_KM), device=distinct_KM.device)[:, None]
        return self._replace(
            objects_KNX=self.objects_KNX[network_K1, distinct_KM],
            indices_KPT=torch.empty_like(rank_KM).scatter(1, order_KM, rank_KM).view_as(self.indices_KPT),
        )


def pack_problems(
    networks: Sequence[SequenceClassifier],
    problems: Sequence[Problems],
    pools: Sequence[np.ndarray],
    images_N1HW: np.ndarray,
    device: str,
) -> PackProblems:
    """Stacks problem sets with the images of their pools: the sorted numbers of the objects that each set draws from.

    An untrained encoder encodes the images here, once.
    """
    indices = [np.searchsorted(pool, p.indices_PT) for p, pool in zip(problems, pools, strict=True)]
    objects_KNX = torch.from_numpy(images_N1HW[np.stack(pools)]).to(device)
    if not any(True for _ in networks[0].encoder.parameters()):
        objects_KNX = torch.stack([network.encoder(x) for network, x in zip(networks, objects_KNX, strict=True)])
    return PackProblems(
        objects_KNX,
        torch.from_numpy(np.stack(indices)).to(device),
        torch.from_numpy(np.stack([p.targets_P for p in problems])).to(device),
    )


Measure = Callable[[dict[str, Tensor], dict[str, Tensor], PackProblems], tuple[Tensor, Tensor]]


def measure(network: SequenceClassifier, precision: str = "float32") -> Measure:
    """Makes the function of stacked parameters, buffers and problems that gives each network's loss and accuracy.

    Returns:
        A function that returns the [K] loss in nats, which training minimises, and the [K] accuracy, a fraction. The
        loss is the mean cross-entropy plus the model's own term: the loss of its memory (MNM), or the leak penalty.
    Source: released code, train_and_eval.py, whose MNM loss has both terms in training and test.
    """

    def of_one(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], problems: PackProblems
    ) -> tuple[Tensor, Tensor]:
        objects_NX, indices_PT, targets_P = problems
        if precision == "bf16":
            parameters = in_bf16(parameters)
        logits_PC, penalty = functional_call(network, (parameters, buffers), (objects_NX, indices_PT, True))
        right_P = logits_PC.argmax(dim=-1) == targets_P
        return cross_entropy(logits_PC, targets_P) + penalty, right_P.double().mean()

    return vmap(of_one)


def cross_entropy(logits_PC: Tensor, targets_P: Tensor) -> Tensor:
    """Returns the mean cross-entropy in nats.

    It equals `F.cross_entropy` to the bit, which under `vmap` imports PyTorch's compiler and takes seconds.
    """
    log_probabilities_PC = logits_PC.log_softmax(dim=-1)
    return -log_probabilities_PC.gather(1, targets_P[:, None]).squeeze(1).sum() / len(targets_P)


@torch.no_grad()
def evaluate(
    measured: Measure, parameters: dict[str, Tensor], buffers: dict[str, Tensor], problems: PackProblems
) -> tuple[list[float], list[float]]:
    """Returns mean loss (nats) and accuracy over all problems, one number per network."""
    n_networks, n_problems = problems.targets_KP.shape
    size = max(1, (BATCH_ON_GPU if problems.targets_KP.is_cuda else BATCH) // n_networks)
    totals_2K = torch.zeros(2, n_networks, dtype=torch.float64)
    for start in range(0, n_problems, size):
        part = slice(start, start + size)
        batch = problems._replace(indices_KPT=problems.indices_KPT[:, part], targets_KP=problems.targets_KP[:, part])
        loss_K, accuracy_K = measured(parameters, buffers, batch)
        means_2K = torch.stack([loss_K.double(), accuracy_K]).cpu()
        totals_2K += means_2K * batch.targets_KP.shape[1]
    loss, accuracy = (totals_2K / n_problems).tolist()
    return loss, accuracy
