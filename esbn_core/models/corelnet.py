"""CoRelNet: logits from similarities alone (Kerg et al. 2022, arXiv:2206.05056).

Legend: B problems, T steps, Z embedding, V features, H hidden, C choices.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from esbn_core.models.core import Core
from esbn_core.models.layers import uniform_linear
from esbn_core.rivals import CoRelNetConfig
from esbn_core.seeding import Stream
from esbn_core.tasks.counts import TaskSpec


class CoRelNet(Core):
    """Throws the embeddings away and classifies from their similarity matrix, read row by row.

        A_ij = z_i . z_j        R_ij = softmax over j <= i of A_ij        v = (R_11, R_21, R_22, R_31, ..)
        logits = W_2 relu(W_1 v + b_1) + b_2

    Variants of v:
        causal: the above, as the authors' code has it.
        full: softmax over all j, so v has T^2 numbers.
        no_softmax: the lower triangle of A_ij / Z (the division is ours; Altabaa et al. 2024 have none, and all T^2).
        with_content: the causal features, then all z_t (the authors' `CoRelNet_cat`).

    Weights and biases start uniform on +-1/sqrt(fan-in).
    Source: github.com/giancarlok/relationaltasks, cognitive_tests/models/CoRelNet*.py.
    """

    def __init__(self, config: CoRelNetConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.variant = config.variant
        n_steps = task.n_steps
        n_relations = n_steps**2 if config.variant == "full" else n_steps * (n_steps + 1) // 2
        n_content = n_steps * n_features if config.variant == "with_content" else 0
        self.hidden = uniform_linear(n_relations + n_content, config.hidden_size, stream("hidden"))
        self.output = uniform_linear(config.hidden_size, task.n_choices, stream("output"))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        return self.output(F.relu(self.hidden(self.features(z_BTZ))))

    def features(self, z_BTZ: Tensor) -> Tensor:
        """What the output layers get, [B, V]."""
        a_BTT = z_BTZ @ z_BTZ.transpose(1, 2)
        if self.variant == "full":
            return torch.softmax(a_BTT, dim=-1).flatten(1)
        rows = [a_BTT[:, i, : i + 1] for i in range(z_BTZ.shape[1])]
        if self.variant == "no_softmax":
            return torch.cat(rows, dim=-1) / z_BTZ.shape[-1]
        rows = [torch.softmax(row, dim=-1) for row in rows]
        if self.variant == "with_content":
            rows.append(z_BTZ.flatten(1))
        return torch.cat(rows, dim=-1)
