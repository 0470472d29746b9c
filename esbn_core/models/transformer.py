"""The Transformer baseline (paper appendix; Vaswani et al. 2017).

Legend: B problems, T steps, Z embedding, H heads, D features of a head, C choices.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.baseline_configs import TransformerConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.attention import FeedForward, dot_products, merge_heads, sinusoids, split_heads
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw
from esbn_core.seeding import Stream


class Transformer(Core):
    """One layer of self-attention over embeddings with position codes; logits from the mean over steps.

        x_t = z_t + e_t                     q, k, v = W_qkv x + b, split into heads
        a = W_o [softmax_j(q_i . k_j / sqrt(D)) v_j of all heads] + b_o
        x = LN(x + a)                       x = LN(x + W_b relu(W_a x + b_a) + b_b)
        logits = W_y relu(W_h mean_t LN(x_t) + b_h) + b_y

    W_qkv is drawn as one matrix. The bias of the keys shifts all scores of a query equally, so it has no effect.
    Source: official models/Transformer.py, without the layer that it keeps but never trains; the LN before the mean is
    in the code only.
    """

    def __init__(self, config: TransformerConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.n_heads = config.heads
        width = config.heads * config.head_size
        self.query_key_value = Linear(draw(n_features, 3 * width, "linear", stream("query, key and value")))
        self.merge = Linear(draw(width, n_features, "linear", stream("merge")))
        self.norm = nn.LayerNorm(n_features)
        self.feed_forward = FeedForward(n_features, config.feedforward_size, stream)
        self.final_norm = nn.LayerNorm(n_features) if config.final_norm else nn.Identity()
        self.hidden = Linear(draw(n_features, config.hidden_size, "relu", stream("hidden")))
        self.output = Linear(draw(config.hidden_size, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        x_BTZ = z_BTZ + sinusoids(z_BTZ)
        x_BTZ = self.norm(x_BTZ + self._attend(x_BTZ))
        x_BTZ = self.final_norm(self.feed_forward(x_BTZ))
        return self.output(F.relu(self.hidden(x_BTZ.mean(dim=1))))

    def _attend(self, x_BTZ: Tensor) -> Tensor:
        q_BHTD, k_BHTD, v_BHTD = (split_heads(x, self.n_heads) for x in self.query_key_value(x_BTZ).chunk(3, dim=-1))
        scores_BHTT = dot_products(q_BHTD, k_BHTD) / math.sqrt(q_BHTD.shape[-1])
        return self.merge(merge_heads(torch.softmax(scores_BHTT, dim=-1) @ v_BHTD))
