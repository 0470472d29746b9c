"""Temporal context normalisation (TCN; paper section 3.4).

Legend: B problems, T steps, S steps of one window, Z embedding.
"""

import torch
from torch import Tensor, nn

EPSILON = 1e-8  # added to the variance


class ContextNorm(nn.Module):
    """Standardises each feature over the steps of its window, separately per problem; then a learned gain and bias.

    The variance is the unbiased one (S - 1), and gradients flow through mean and variance.
    Source: Webb et al. 2020; official models/ESBN.py, `apply_context_norm`.
    """

    def __init__(self, n_features: int, window: int):
        super().__init__()
        if window < 2:
            raise ValueError(f"window={window} has no variance; a window needs at least two steps")
        self.window = window
        self.gain_Z = nn.Parameter(torch.ones(n_features))
        self.bias_Z = nn.Parameter(torch.zeros(n_features))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> [B, T, Z]; windows of `window` steps tile the T steps."""
        z_BWSZ = z_BTZ.unflatten(1, (-1, self.window))
        variance, mean = torch.var_mean(z_BWSZ, dim=2, correction=1, keepdim=True)
        return ((z_BWSZ - mean) / torch.sqrt(variance + EPSILON)).flatten(1, 2) * self.gain_Z + self.bias_Z


def context_norm(tcn: str, n_features: int, n_steps: int) -> nn.Module:
    """none: the identity; sequence: one window over all steps; segmented: a window for every pair of steps."""
    if tcn == "none":
        return nn.Identity()
    return ContextNorm(n_features, 2 if tcn == "segmented" else n_steps)
