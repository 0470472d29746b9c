"""CoRelNet: logits from similarities alone (Kerg et al. 2022, arXiv:2206.05056).

Legend: N images, B problems, T steps, M maps, Z embedding, V features, H hidden, C choices.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.baseline_configs import CoRelNetConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import uniform_linear
from esbn_core.seeding import Stream

N_MAPS = {"tied": 1, "asymmetric": 2}
"""Variant -> learned maps of the embedding before normalisation."""


class CoRelNet(Core):
    """Classifies from the similarity matrix of the embeddings alone, read row by row.

        A_ij = z_i . z_j        R_ij = softmax over j <= i of A_ij        v = (R_11, R_21, R_22, R_31, ..)
        logits = W_2 relu(W_1 v + b_1) + b_2

    Variants:
        causal: the above, as the authors' code has it.
        full: softmax over all j, so v has T^2 numbers.
        no_softmax: the lower triangle of A_ij / Z (the division is ours; Altabaa et al. 2024 have none, and all T^2).
        with_content: the causal features, then all z_t (the authors' `CoRelNet_cat`).
        asymmetric: causal with A_ij = x_i . y_j, where x = TCN(P e + b_P) and y = TCN(Q e + b_Q) of the embedding e
            before normalisation; both share gain and bias (the authors' `CoRelNet_asym1`).
        tied: asymmetric with P = Q (ours), so that it differs in one thing from causal and from asymmetric.
        b_Q shifts each row of A evenly, so a softmax cancels it; TCN removes what is the same at every step. So with
        TCN neither bias of these maps has an effect.

    Weights and biases start uniform on +-1/sqrt(fan-in).
    Source: github.com/giancarlok/relationaltasks, cognitive_tests/models/CoRelNet*.py.
    """

    def __init__(self, config: CoRelNetConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.variant = config.variant
        self.maps = nn.ModuleList(
            uniform_linear(n_features, n_features, stream(f"map {i}")) for i in range(N_MAPS.get(config.variant, 0))
        )
        n_steps = task.n_steps
        n_relations = n_steps**2 if config.variant == "full" else n_steps * (n_steps + 1) // 2
        n_content = n_steps * n_features if config.variant == "with_content" else 0
        self.hidden = uniform_linear(n_relations + n_content, config.hidden_size, stream("hidden"))
        self.output = uniform_linear(config.hidden_size, task.n_choices, stream("output"))

    def project(self, z_NZ: Tensor) -> Tensor:
        """[N, Z] -> [N, M, Z] for the variants with maps."""
        return torch.stack([to(z_NZ) for to in self.maps], dim=-2) if self.maps else z_NZ

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z], or [B, T, M, Z] for the variants with maps -> logits [B, C]."""
        return self.output(F.relu(self.hidden(self.features(z_BTZ))))

    def features(self, z_BTZ: Tensor) -> Tensor:
        """Input of the output layers, [B, V]."""
        if self.maps:
            a_BTT = z_BTZ[:, :, 0] @ z_BTZ[:, :, -1].transpose(1, 2)
        else:
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
