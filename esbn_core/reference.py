"""The ESBN step by step from the paper's equations: slow, without shortcuts, independent of `esbn_core.models`.

It was written from the equations (paper sections 3.2 to 3.4) before its author had read the fast model. It encodes
every image of every problem, keeps the memory as a growing list, runs all T + 1 steps of the LSTM for every problem,
one gate at a time, and loops over pixels and windows.

Parameters go by the names of the equations: E1, e1, E2, .. (layers of the encoder), gamma, beta (TCN), W_x, b_x, W_h,
b_h (LSTM, rows in the order i, f, g, o), W_k, b_k, w_g, b_g, W_y, b_y, a, b (confidence), k_0, v_0 (default entry),
Q, K (maps before the comparison), V, rho (leak).

Legend: B problems, T steps, N images, I and O channels, H W rows and columns, Z embedding, K key,
U LSTM units, G their gates, L what a leak adds to (gates, key or logits), C choices.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]
Convolve = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Images, kernel, bias and padding -> channels of the next layer; kernel 4, stride 2."""


class Entry(NamedTuple):
    """One entry of the memory."""

    key_BK: Tensor
    value_BZ: Tensor


class Leak(NamedTuple):
    """A path from the embeddings past the memory; strength 0: no leak."""

    strength: float | Literal["learned"]
    """lambda, or learned: sig(rho)."""
    into: str
    bound: bool


CLOSED = Leak(0.0, "controller", False)


class Run(NamedTuple):
    """Logits, keys written and read at steps 1..T (reads are gated; zero at t = 1), and the added leaks."""

    logits_BC: Tensor
    keys: list[Tensor]
    reads: list[Tensor]
    leaked: list[Tensor]
    """Per step 1..T, or once for a leak into the output."""

    def leak_penalty(self) -> Tensor:
        """Mean over problems and steps of |lambda V z|^2 / its size."""
        return _sum([(x_BL**2).sum(dim=1).mean() / x_BL.shape[1] for x_BL in self.leaked]) / len(self.leaked)


def run(
    parameters: Parameters,
    images_BT1HW: Tensor,
    *,
    encoder: str,
    windows: Sequence[Sequence[int]],
    confidence: str,
    retrieval: str = "plain",
    leak: Leak = CLOSED,
    convolve: Convolve | None = None,
) -> Run:
    """The whole network, from pixels to logits.

    Args:
        parameters: tensors by the names above; parts that are switched off may be missing.
        images_BT1HW: [B, T, 1, 32, 32] float in [0, 1].
        encoder: conv, mlp, random or conv_unpadded.
        windows: steps that TCN normalises together, counted from 1; empty: no TCN.
        confidence: on, off or default_memory.
        retrieval: plain, scaled, tied or free.
        leak: strength, target and bound.
        convolve: replaces the convolution pixel by pixel.
    """
    z_TBZ = encode_steps(parameters, images_BT1HW, encoder, convolve or convolve_by_pixels)
    return esbn(parameters, context_norm(parameters, z_TBZ, windows), confidence, retrieval, leak)


def convolve_by_pixels(x_NIHW: Tensor, weight_OI44: Tensor, bias_O: Tensor, padding: int) -> Tensor:
    """Kernel 4, stride 2, one output pixel at a time, wherever the kernel fits."""
    n, channels, height, width = (size + 2 * padding * (axis > 1) for axis, size in enumerate(x_NIHW.shape))
    padded = x_NIHW.new_zeros(n, channels, height, width)
    padded[:, :, padding : height - padding, padding : width - padding] = x_NIHW
    rows = []
    for row in range(0, height - 3, 2):
        pixels_NO = [
            padded[:, :, row : row + 4, column : column + 4].flatten(1) @ weight_OI44.flatten(1).T + bias_O
            for column in range(0, width - 3, 2)
        ]
        rows.append(torch.stack(pixels_NO, dim=-1))
    return torch.stack(rows, dim=-2)


def encode_steps(
    parameters: Parameters, images_BT1HW: Tensor, encoder: str, convolve: Convolve = convolve_by_pixels
) -> list[Tensor]:
    """[B, Z] for each step."""
    return [encode(parameters, images_BT1HW[:, t], encoder, convolve) for t in range(images_BT1HW.shape[1])]


def encode(parameters: Parameters, x_N1HW: Tensor, encoder: str, convolve: Convolve = convolve_by_pixels) -> Tensor:
    """[N, 1, 32, 32] -> [N, Z]."""
    n_layers = {"conv": 5, "conv_unpadded": 5, "mlp": 3, "random": 1}[encoder]
    n_convolutions = 3 if n_layers == 5 else 0
    x = x_N1HW
    for layer in range(1, n_layers + 1):
        weight, bias = parameters[f"E{layer}"], parameters[f"e{layer}"]
        if layer <= n_convolutions:
            x = convolve(x, weight, bias, 1 if encoder == "conv" else 0)
        else:
            x = x.flatten(1) @ weight.T + bias
        x = torch.where(x > 0, x, 0)
    return x


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


def esbn(
    parameters: Parameters, z_TBZ: Sequence[Tensor], confidence: str, retrieval: str = "plain", leak: Leak = CLOSED
) -> Run:
    """The recurrence over normalised embeddings, [B, Z] for each step."""
    p = parameters
    n_problems = len(z_TBZ[0])
    h_BU = c_BU = z_TBZ[0].new_zeros(n_problems, p["W_h"].shape[1])
    zero_read = z_TBZ[0].new_zeros(n_problems, p["W_k"].shape[0] + (confidence == "on"))
    memory: list[Entry] = []
    if confidence == "default_memory":
        memory.append(Entry(p["k_0"].expand(n_problems, -1), p["v_0"].expand(n_problems, -1)))
    r_B, keys, reads = zero_read, [], []
    leaked: list[Tensor] = []

    def leak_into(place: str, z_BZ: Tensor, size: int) -> Tensor:
        if leak.strength == 0 or leak.into != place:
            return z_BZ.new_zeros(n_problems, size)
        leaked.append(_leak(p, z_BZ, leak))
        return leaked[-1]

    for t, z_BZ in enumerate(z_TBZ, start=1):
        h_BU, c_BU = _lstm(p, r_B, h_BU, c_BU, leak_into("controller", z_BZ, 4 * h_BU.shape[1]))
        k_BK = torch.relu(h_BU @ p["W_k"].T + p["b_k"] + leak_into("key", z_BZ, p["W_k"].shape[0]))
        g_B1 = torch.sigmoid(h_BU @ p["w_g"].T + p["b_g"])
        r_B = zero_read if t == 1 else g_B1 * _read(p, z_BZ, memory, confidence, retrieval)
        memory.append(Entry(k_BK, z_BZ))
        keys.append(k_BK)
        reads.append(r_B)
    h_BU, _ = _lstm(p, r_B, h_BU, c_BU, z_TBZ[0].new_zeros(n_problems, 4 * h_BU.shape[1]))
    joined_B = torch.cat(list(z_TBZ), dim=1)
    logits_BC = h_BU @ p["W_y"].T + p["b_y"] + leak_into("output", joined_B, p["W_y"].shape[0])
    return Run(logits_BC, keys, reads, leaked)


def _leak(p: Parameters, z_BZ: Tensor, leak: Leak) -> Tensor:
    strength = 1 / (1 + torch.exp(-p["rho"])) if leak.strength == "learned" else leak.strength
    out_BL = z_BZ @ p["V"].T
    if leak.bound:
        rms_B1 = ((out_BL**2).sum(dim=1, keepdim=True) / out_BL.shape[1]) ** 0.5
        out_BL = out_BL / torch.where(rms_B1 > 1, rms_B1, 1)
    return strength * out_BL


def _read(p: Parameters, z_BZ: Tensor, memory: Sequence[Entry], confidence: str, retrieval: str) -> Tensor:
    d = [_similarity(p, z_BZ, entry.value_BZ, retrieval) for entry in memory]
    largest = torch.stack(d).amax(dim=0)
    total = _sum([torch.exp(d_i - largest) for d_i in d])
    w = [torch.exp(d_i - largest) / total for d_i in d]
    read_BK = _sum([w_i * entry.key_BK for w_i, entry in zip(w, memory, strict=True)])
    if confidence != "on":
        return read_BK
    read_B1 = _sum([w_i * torch.sigmoid(p["a"] * d_i + p["b"]) for w_i, d_i in zip(w, d, strict=True)])
    return torch.cat([read_BK, read_B1], dim=1)


def _similarity(p: Parameters, query_BZ: Tensor, value_BZ: Tensor, retrieval: str) -> Tensor:
    if retrieval in ("tied", "free"):
        query_BZ, value_BZ = query_BZ @ p["Q"].T, value_BZ @ p["K" if retrieval == "free" else "Q"].T
    d_B1 = (query_BZ * value_BZ).sum(dim=1, keepdim=True)
    return d_B1 if retrieval == "plain" else d_B1 / query_BZ.shape[1] ** 0.5


def _lstm(p: Parameters, r_B: Tensor, h_BU: Tensor, c_BU: Tensor, leak_BG: Tensor) -> tuple[Tensor, Tensor]:
    units = h_BU.shape[1]

    def gate(number: int) -> Tensor:
        rows = slice(number * units, (number + 1) * units)
        return r_B @ p["W_x"][rows].T + p["b_x"][rows] + h_BU @ p["W_h"][rows].T + p["b_h"][rows] + leak_BG[:, rows]

    i, f, g, o = gate(0), gate(1), gate(2), gate(3)
    c_BU = torch.sigmoid(f) * c_BU + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_BU), c_BU


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
