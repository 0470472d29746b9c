"""The Relation Network (Santoro et al. 2017; paper appendix), and the sum over tuples of steps it shares with the TRN.

Legend: B problems, T steps, Z embedding, U embedding with its position, N tuples, P places in a tuple, H hidden,
R relation, C choices.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.baseline_configs import RNConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw, position_tag, product
from esbn_core.seeding import Stream


class RelationSum(nn.Module):
    """sum over tuples of steps (i, j, ..) of relu(W_2 relu(W_1 [u_i ; u_j ; ..] + b_1) + b_2).

    W_1 is applied to each step once per place, W_1 [u_i ; u_j] = W_11 u_i + W_12 u_j, and the results are added per
    tuple. The addition is a product with a 0/1 matrix, so its backward pass is a product too, not a scatter.
    """

    picks_NX: Tensor
    """[N, P T]: row n has a 1 for each place of tuple n, at the step in that place."""

    def __init__(self, tuples: Iterable[tuple[int, ...]], n_steps: int, first: Linear, second: Linear):
        super().__init__()
        self.first, self.second = first, second
        picks_NPT = F.one_hot(torch.tensor(list(tuples)), n_steps)
        self.n_places = picks_NPT.shape[1]
        self.register_buffer("picks_NX", picks_NPT.flatten(1).to(first.weight_IO.dtype), persistent=False)

    def forward(self, u_BTU: Tensor) -> Tensor:
        """[B, T, U] -> [B, R]."""
        weights = self.first.weight_IO.chunk(self.n_places)
        parts_BXH = torch.cat([product(u_BTU, weight_UH) for weight_UH in weights], dim=1)
        x_BNH = F.relu(self.picks_NX.to(parts_BXH.dtype) @ parts_BXH + self.first.bias_O)
        return F.relu(self.second(x_BNH)).sum(dim=1)


class RelationNet(Core):
    """Compares all pairs of steps, including each with itself, and classifies from the sum.

        u_t = [z_t ; t - 1]        g_ij = relu(W_2 relu(W_1 [u_i ; u_j] + b_1) + b_2)
        logits = W_y relu(W_3 sum_ij g_ij + b_3) + b_y

    Source: official models/RN.py.
    """

    def __init__(self, config: RNConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        n_hidden, n_relation = config.hidden_size, config.relation_size
        self.pairs = RelationSum(
            itertools.product(range(task.n_steps), repeat=2),
            task.n_steps,
            Linear(draw(2 * (n_features + 1), n_hidden, "relu", stream("pairs first"))),
            Linear(draw(n_hidden, n_relation, "relu", stream("pairs second"))),
        )
        self.hidden = Linear(draw(n_relation, n_relation, "relu", stream("hidden")))
        self.output = Linear(draw(n_relation, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        relation_BR = self.pairs(position_tag(z_BTZ))
        return self.output(F.relu(self.hidden(relation_BR)))
