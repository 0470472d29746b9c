"""The PrediNet baseline (paper appendix; Shanahan et al. 2020).

Legend: B problems, T steps, Z embedding, U embedding with its position, H heads, K key, P parts of a comparison: the
keys' K and two positions, C choices.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from esbn_core.baseline_configs import PrediNetConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.attention import LinearMap, dot_products
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw, position_tag
from esbn_core.seeding import Stream


class PrediNet(Core):
    """Each head selects two steps by queries from the whole sequence, and compares their contents.

        u_t = [z_t ; t - 1]        K_t = W_K u_t, shared by the heads        Q1 = W_1 [u_1 ; .. ; u_T], Q2 = W_2 [..]
        E1_h = sum_t softmax_t(Q1_h . K_t) u_t, E2_h likewise
        D_h = [W_S E1_h - W_S E2_h ; position in E1_h ; position in E2_h]
        logits = W_y relu(W [D_1 ; .. ; D_H] + b) + b_y

    Source: official models/PrediNet.py.
    """

    def __init__(self, config: PrediNetConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.n_heads = config.heads
        n_tagged, n_key = n_features + 1, config.key_size
        n_query = config.heads * n_key
        self.key = LinearMap(draw(n_tagged, n_key, "linear", stream("key")))
        self.query_1 = LinearMap(draw(task.n_steps * n_tagged, n_query, "linear", stream("query 1")))
        self.query_2 = LinearMap(draw(task.n_steps * n_tagged, n_query, "linear", stream("query 2")))
        self.compared = LinearMap(draw(n_tagged, n_key, "linear", stream("compared")))
        self.hidden = Linear(draw(config.heads * (n_key + 2), config.hidden_size, "relu", stream("hidden")))
        self.output = Linear(draw(config.hidden_size, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        u_BTU = position_tag(z_BTZ)
        key_BTK = self.key(u_BTU)
        e1_BHU = self._attend(self.query_1, u_BTU, key_BTK)
        e2_BHU = self._attend(self.query_2, u_BTU, key_BTK)
        difference_BHK = self.compared(e1_BHU) - self.compared(e2_BHU)
        d_BHP = torch.cat([difference_BHK, e1_BHU[..., -1:], e2_BHU[..., -1:]], dim=-1)
        return self.output(F.relu(self.hidden(d_BHP.flatten(1))))

    def _attend(self, query: LinearMap, u_BTU: Tensor, key_BTK: Tensor) -> Tensor:
        query_BHK = query(u_BTU.flatten(1)).unflatten(-1, (self.n_heads, -1))
        return torch.softmax(dot_products(query_BHK, key_BTK), dim=-1) @ u_BTU
