"""Parts shared by the attention models.

Legend: B problems, T steps that attend, S steps attended to, Z embedding, H heads, D features of a head, F hidden
units of the feed-forward block, I inputs, O outputs, W wavelengths.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.models.layers import Linear, draw, product
from esbn_core.seeding import Stream


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """[..., T, H * D] -> [..., H, T, D]."""
    return x.unflatten(-1, (n_heads, -1)).transpose(-3, -2)


def merge_heads(x: Tensor) -> Tensor:
    """[..., H, T, D] -> [..., T, H * D]."""
    return x.transpose(-3, -2).flatten(-2)


def dot_products(query_BHTD: Tensor, key_BHSD: Tensor) -> Tensor:
    """Every query with every key of its head, [B, H, T, S]."""
    return query_BHTD @ key_BHSD.transpose(-2, -1)


def sinusoids(x_BTZ: Tensor) -> Tensor:
    """Position code of each step of x, with its dtype and device: [T, Z].

        e_{t,2i} = sin(tau w_i)        e_{t,2i+1} = cos(tau w_i)        w_i = 10000^(-2i/Z), tau = t - 1

    Source: Vaswani et al. 2017, section 3.5.
    """
    _, n_steps, n_features = x_BTZ.shape
    tau_T1 = torch.arange(n_steps, dtype=x_BTZ.dtype, device=x_BTZ.device)[:, None]
    w_W = 10_000 ** (-torch.arange(0, n_features, 2, dtype=x_BTZ.dtype, device=x_BTZ.device) / n_features)
    angle_TW = tau_T1 * w_W
    return torch.stack([angle_TW.sin(), angle_TW.cos()], dim=-1).flatten(1)[:, :n_features]


class LinearMap(nn.Module):
    """y = x W, without bias."""

    def __init__(self, weight_IO: Tensor):
        super().__init__()
        self.weight_IO = nn.Parameter(weight_IO)

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight_IO).to(x.dtype)


class FeedForward(nn.Module):
    """LN(x + W_b relu(W_a x + b_a) + b_b), separately for each step."""

    def __init__(self, n_features: int, n_hidden: int, stream: Stream):
        super().__init__()
        self.expand = Linear(draw(n_features, n_hidden, "relu", stream("feed-forward expand")))
        self.contract = Linear(draw(n_hidden, n_features, "relu", stream("feed-forward contract")))
        self.norm = nn.LayerNorm(n_features)

    def forward(self, x_BTZ: Tensor) -> Tensor:
        return self.norm(x_BTZ + self.contract(F.relu(self.expand(x_BTZ))))
