"""The ESBN step by step from the equations of the paper: slow, without shortcuts, independent of `esbn_core.models`.

It was written from the equations (paper sections 3.2 to 3.4) before the fast model was read. Every image of every
problem is encoded, the memory is a list that grows, all T + 1 steps of the LSTM are taken for every problem and one
gate at a time, and convolutions and normalisation are loops.

Parameters go by the names of the equations: E1, e1, E2, .. (layers of the encoder), gamma, beta (TCN), W_x, b_x, W_h,
b_h (LSTM, rows in the order i, f, g, o), W_k, b_k, w_g, b_g, W_y, b_y, a, b (confidence), k_0, v_0 (default entry).

Legend: B problems, T steps, N images, I and O channels, H W rows and columns, Z embedding, K key,
U LSTM units, C choices.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]


class Entry(NamedTuple):
    """One entry of the memory."""

    key_BK: Tensor
    value_BZ: Tensor


class Run(NamedTuple):
    """Logits, and what the steps 1..T wrote and read (gated; zero at t = 1)."""

    logits_BC: Tensor
    keys: list[Tensor]
    reads: list[Tensor]


def run(
    parameters: Parameters,
    images_BT1HW: Tensor,
    *,
    encoder: str,
    windows: Sequence[Sequence[int]],
    confidence: str,
) -> Run:
    """The whole network, from pixels to logits.

    Args:
        parameters: tensors by the names above; those of parts that are switched off may be missing.
        images_BT1HW: [B, T, 1, 32, 32] float in [0, 1].
        encoder: conv, mlp or random.
        windows: steps that TCN normalises together, counted from 1; empty: no TCN.
        confidence: on, off or default_memory.
    """
    z_TBZ = [encode(parameters, images_BT1HW[:, t], encoder) for t in range(images_BT1HW.shape[1])]
    return esbn(parameters, context_norm(parameters, z_TBZ, windows), confidence)


def encode(parameters: Parameters, x_N1HW: Tensor, encoder: str) -> Tensor:
    """[N, 1, 32, 32] -> [N, Z]."""
    n_layers = {"conv": 5, "mlp": 3, "random": 1}[encoder]
    n_convolutions = 3 if encoder == "conv" else 0
    x = x_N1HW
    for layer in range(1, n_layers + 1):
        weight, bias = parameters[f"E{layer}"], parameters[f"e{layer}"]
        if layer <= n_convolutions:
            x = _convolve(x, weight, bias)
        else:
            x = x.flatten(1) @ weight.T + bias
        x = torch.where(x > 0, x, 0)
    return x


def _convolve(x_NIHW: Tensor, weight_OI44: Tensor, bias_O: Tensor) -> Tensor:
    """Kernel 4, stride 2, padding 1, one output pixel at a time."""
    n, channels, height, width = x_NIHW.shape
    padded = x_NIHW.new_zeros(n, channels, height + 2, width + 2)
    padded[:, :, 1:-1, 1:-1] = x_NIHW
    rows = []
    for row in range(0, height, 2):
        pixels_NO = [
            padded[:, :, row : row + 4, column : column + 4].flatten(1) @ weight_OI44.flatten(1).T + bias_O
            for column in range(0, width, 2)
        ]
        rows.append(torch.stack(pixels_NO, dim=-1))
    return torch.stack(rows, dim=-2)


def context_norm(parameters: Parameters, z_TBZ: Sequence[Tensor], windows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Equation of TCN, window by window: mean, variance with n - 1, eps 1e-8 added to the variance."""
    out = list(z_TBZ)
    for window in windows:
        n = len(window)
        mean_BZ = _sum([z_TBZ[t - 1] for t in window]) / n
        variance_BZ = _sum([(z_TBZ[t - 1] - mean_BZ) ** 2 for t in window]) / (n - 1)
        for t in window:
            zhat_BZ = (z_TBZ[t - 1] - mean_BZ) / (variance_BZ + 1e-8) ** 0.5
            out[t - 1] = parameters["gamma"] * zhat_BZ + parameters["beta"]
    return out


def esbn(parameters: Parameters, z_TBZ: Sequence[Tensor], confidence: str) -> Run:
    """The recurrence over normalised embeddings, [B, Z] for each step."""
    p = parameters
    n_problems = len(z_TBZ[0])
    h_BU = c_BU = z_TBZ[0].new_zeros(n_problems, p["W_h"].shape[1])
    zero_read = z_TBZ[0].new_zeros(n_problems, p["W_k"].shape[0] + (confidence == "on"))
    memory: list[Entry] = []
    if confidence == "default_memory":
        memory.append(Entry(p["k_0"].expand(n_problems, -1), p["v_0"].expand(n_problems, -1)))
    r_B, keys, reads = zero_read, [], []
    for t, z_BZ in enumerate(z_TBZ, start=1):
        h_BU, c_BU = _lstm(p, r_B, h_BU, c_BU)
        k_BK = torch.relu(h_BU @ p["W_k"].T + p["b_k"])
        g_B1 = torch.sigmoid(h_BU @ p["w_g"].T + p["b_g"])
        r_B = zero_read if t == 1 else g_B1 * _read(p, z_BZ, memory, confidence)
        memory.append(Entry(k_BK, z_BZ))
        keys.append(k_BK)
        reads.append(r_B)
    h_BU, _ = _lstm(p, r_B, h_BU, c_BU)
    return Run(h_BU @ p["W_y"].T + p["b_y"], keys, reads)


def _read(p: Parameters, z_BZ: Tensor, memory: Sequence[Entry], confidence: str) -> Tensor:
    d = [(z_BZ * entry.value_BZ).sum(dim=1, keepdim=True) for entry in memory]
    largest = torch.stack(d).amax(dim=0)
    total = _sum([torch.exp(d_i - largest) for d_i in d])
    w = [torch.exp(d_i - largest) / total for d_i in d]
    read_BK = _sum([w_i * entry.key_BK for w_i, entry in zip(w, memory, strict=True)])
    if confidence != "on":
        return read_BK
    read_B1 = _sum([w_i * torch.sigmoid(p["a"] * d_i + p["b"]) for w_i, d_i in zip(w, d, strict=True)])
    return torch.cat([read_BK, read_B1], dim=1)


def _lstm(p: Parameters, r_B: Tensor, h_BU: Tensor, c_BU: Tensor) -> tuple[Tensor, Tensor]:
    units = h_BU.shape[1]

    def gate(number: int) -> Tensor:
        rows = slice(number * units, (number + 1) * units)
        return r_B @ p["W_x"][rows].T + p["b_x"][rows] + h_BU @ p["W_h"][rows].T + p["b_h"][rows]

    i, f, g, o = gate(0), gate(1), gate(2), gate(3)
    c_BU = torch.sigmoid(f) * c_BU + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_BU), c_BU


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
