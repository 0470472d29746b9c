"""The Abstractor: relations between embeddings move symbols (Altabaa et al. 2024, arXiv:2304.00195).

Legend: B problems, T steps, Z embedding and symbol, H heads, D features of a head, P Z / H, C choices.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.baseline_configs import AbstractorConfig
from esbn_core.counts import TaskSpec
from esbn_core.errors import ConfigError
from esbn_core.models.attention import FeedForward, LinearMap, dot_products, merge_heads, sinusoids, split_heads
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw
from esbn_core.seeding import Stream

ACTIVATIONS = {
    "softmax": lambda scores_BHTT: torch.softmax(scores_BHTT, dim=-1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "identity": lambda scores_BHTT: scores_BHTT,
}


class Abstractor(Core):
    """Attention with queries and keys from embeddings, and symbols bound to steps as values.

        s_1 .. s_T: learned, or sinusoids; the same for every problem
        s_i = messages of the relations of z_i to every z_j, carrying s_j
        s_i = LN(s_i + F_2 relu(F_1 s_i + b) + b)
        logits = W_2 relu(W_1 [s_1 ; .. ; s_T] + b_1) + b_2        or W_1 on the mean of s_i over steps

    One layer. So the residual carries symbols, and embeddings enter only through their relations.
    Source: github.com/Awni00/abstractor, abstracters.py; simple: abstractor.py and multi_head_relation.py.
    """

    def __init__(self, config: AbstractorConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.symbols_TZ = None
        if config.symbols == "learned":
            self.symbols_TZ = nn.Parameter(torch.randn(task.n_steps, n_features, generator=stream("symbols")))
        self.relations = Relations(config, n_features, stream)
        self.messages = (SimpleMessages if config.simple else Messages)(config, n_features, stream)
        self.feed_forward = FeedForward(n_features, config.feedforward_size, stream)
        self.flatten = config.head == "flatten"
        n_pooled = task.n_steps * n_features if self.flatten else n_features
        self.hidden = Linear(draw(n_pooled, config.hidden_size, "relu", stream("hidden")))
        self.output = Linear(draw(config.hidden_size, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        symbols_TZ = sinusoids(z_BTZ) if self.symbols_TZ is None else self.symbols_TZ
        s_BTZ = self.feed_forward(self.messages(self.relations(z_BTZ), symbols_TZ))
        pooled_B = s_BTZ.flatten(1) if self.flatten else s_BTZ.mean(dim=1)
        return self.output(F.relu(self.hidden(pooled_B)))


class Relations(nn.Module):
    """Rel^h_ij = act( (Q_h z_i + b) . (K_h z_j + b) / sqrt(D) ).

    tied: K_h = Q_h, without bias. simple: without bias and without the division. With softmax over j, the bias of the
    keys cancels and is left out.
    """

    def __init__(self, config: AbstractorConfig, n_features: int, stream: Stream):
        super().__init__()
        self.n_heads, width = config.heads, config.heads * config.head_size
        self.scale = 1.0 if config.simple else 1 / math.sqrt(config.head_size)
        self.activation = ACTIVATIONS[config.activation]
        biased = not (config.tied or config.simple)
        layer = Linear if biased else LinearMap
        self.query = layer(draw(n_features, width, "linear", stream("query")))
        self.key = None
        if not config.tied:
            layer = Linear if biased and config.activation != "softmax" else LinearMap
            self.key = layer(draw(n_features, width, "linear", stream("key")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> [B, H, T, T]."""
        query_BHTD = split_heads(self.query(z_BTZ), self.n_heads)
        key_BHTD = query_BHTD if self.key is None else split_heads(self.key(z_BTZ), self.n_heads)
        return self.activation(dot_products(query_BHTD, key_BHTD) * self.scale)


class Messages(nn.Module):
    """M^h_i = sum_j Rel^h_ij (V_h s_j + b), then LN(s_i + O [M^1_i ; .. ; M^H_i] + b)."""

    def __init__(self, config: AbstractorConfig, n_features: int, stream: Stream):
        super().__init__()
        self.n_heads, width = config.heads, config.heads * config.head_size
        self.value = Linear(draw(n_features, width, "linear", stream("value")))
        self.merge = Linear(draw(width, n_features, "linear", stream("merge")))
        self.norm = nn.LayerNorm(n_features)

    def forward(self, relations_BHTT: Tensor, symbols_TZ: Tensor) -> Tensor:
        """[B, H, T, T] and [T, Z] -> [B, T, Z]."""
        value_HTD = split_heads(self.value(symbols_TZ), self.n_heads)
        return self.norm(symbols_TZ + self.merge(merge_heads(relations_BHTT @ value_HTD)))


class SimpleMessages(nn.Module):
    """M^h_i = sum_j Rel^h_ij s_j, then [U_1 M^1_i + b ; .. ; U_H M^H_i + b]; each head fills its part of the symbol."""

    def __init__(self, config: AbstractorConfig, n_features: int, stream: Stream):
        super().__init__()
        if n_features % config.heads:
            raise ConfigError(f"heads={config.heads} must divide the embedding size {n_features} in the simple form")
        n_part, generator = n_features // config.heads, stream("merge")
        parts = [draw(n_features, n_part, "linear", generator) for _ in range(config.heads)]
        self.weight_HZP = nn.Parameter(torch.stack(parts))
        self.bias_Z = nn.Parameter(torch.zeros(n_features))

    def forward(self, relations_BHTT: Tensor, symbols_TZ: Tensor) -> Tensor:
        """[B, H, T, T] and [T, Z] -> [B, T, Z]."""
        return merge_heads(relations_BHTT @ symbols_TZ @ self.weight_HZP) + self.bias_Z
