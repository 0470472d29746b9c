"""A path from the embeddings past the ESBN's memory: how strict must the separation be? (paper section 6.1)

Legend: B problems, T steps, Z embedding, X units that the leak is added to: gates of the LSTM, key, or logits.
"""

import torch
from torch import Tensor, nn

from esbn_core.config import ESBNConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.attention import LinearMap
from esbn_core.models.layers import GATES, draw
from esbn_core.seeding import Stream

START = -4.0  # of a learned strength, before the sigmoid: it starts at 0.018


class Leak(nn.Module):
    """lambda V z_t, with lambda fixed or learned as sig(rho); into the logits: lambda V [z_1 ; .. ; z_T], once.

    bound: V z_t / max(1, |V z_t| / sqrt(X)) instead of V z_t, so that the root mean square of the leak is at most
    lambda. penalty: mu mean |lambda V z_t|^2 / X over problems and steps.

    lambda alone does not limit the leak, since V can grow; penalty and bound do. The logits get all z_t, since TCN
    makes the mean of z_t the same for every problem.
    """

    def __init__(self, config: ESBNConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.into, self.mu, self.bound = config.leak_into, config.leak_penalty, config.leak_bound
        generator = stream("leak")
        weight_ZX = {
            "controller": lambda: GATES[config.gate_init](n_features, config.hidden_size, generator).weight_IO.detach(),
            "key": lambda: draw(n_features, config.key_size, "relu", generator),
            "output": lambda: draw(task.n_steps * n_features, task.n_choices, "linear", generator),
        }[config.leak_into]()
        self.map = LinearMap(weight_ZX)
        self.strength = config.leak
        if config.leak == "learned":
            self.rho = nn.Parameter(torch.tensor(START))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> [B, T, X], or [B, 1, X] for the logits."""
        if self.into == "output":
            z_BTZ = z_BTZ.flatten(1)[:, None]
        leak_BTX = self.map(z_BTZ)
        if self.bound:
            leak_BTX = leak_BTX / leak_BTX.square().mean(dim=-1, keepdim=True).clamp(min=1).sqrt()
        return leak_BTX * (torch.sigmoid(self.rho) if self.strength == "learned" else self.strength)

    def penalty(self, leak_BTX: Tensor) -> Tensor:
        """mu mean |leak|^2 / X."""
        return self.mu * leak_BTX.square().mean()
