"""Comparison of an embedding with those in the ESBN's memory.

Legend: B problems, T steps, S memory entries, Z embedding.
"""

import math
from functools import partial

from torch import Tensor, nn

from esbn_core.models.attention import LinearMap, dot_products
from esbn_core.models.layers import draw
from esbn_core.seeding import Stream


class DotProduct(nn.Module):
    """z_t . z_i, as in the paper; scaled: over sqrt(Z)."""

    def __init__(self, n_features: int, stream: Stream, scaled: bool = False):
        super().__init__()
        self.scale = 1 / math.sqrt(n_features) if scaled else 1.0

    def forward(self, z_BTZ: Tensor, values_BSZ: Tensor) -> Tensor:
        """[B, T, Z] and [B, S, Z] -> [B, T, S]."""
        return dot_products(z_BTZ, values_BSZ) * self.scale


class Mapped(nn.Module):
    """(Q z_t) . (K z_i) / sqrt(Z); tied: K = Q."""

    def __init__(self, n_features: int, stream: Stream, tied: bool = False):
        super().__init__()
        self.query = LinearMap(draw(n_features, n_features, "linear", stream("retrieval query")))
        self.key = None if tied else LinearMap(draw(n_features, n_features, "linear", stream("retrieval key")))

    def forward(self, z_BTZ: Tensor, values_BSZ: Tensor) -> Tensor:
        """[B, T, Z] and [B, S, Z] -> [B, T, S]."""
        key = self.query if self.key is None else self.key
        return dot_products(self.query(z_BTZ), key(values_BSZ)) / math.sqrt(z_BTZ.shape[-1])


RETRIEVALS = {
    "plain": DotProduct,
    "scaled": partial(DotProduct, scaled=True),
    "tied": partial(Mapped, tied=True),
    "free": Mapped,
}
"""The choices of `ESBNConfig.retrieval`."""
