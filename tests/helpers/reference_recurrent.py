"""LSTM, NTM, MNM, RN and TRN from the equations of their descriptions: slow, one problem and one number at a time.

Shares no code with `esbn_core.models` and takes none of its short cuts. Steps are counted from 1. Vectors are 1-D,
matrices (out x in). A layer "x" has the entries "x.W" and "x.b"; an LSTM has "W_x", "b_x", "W_h", "b_h" with the rows
of the gates in the order i, f, g, o.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]


def lstm(p: Parameters, z: Sequence[Tensor]) -> Tensor:
    """Logits of one problem."""
    n = p["W_h"].shape[1]
    h, c = z[0].new_zeros(n), z[0].new_zeros(n)
    for z_t in z:
        h, c = _lstm_step(p, z_t, h, c)
    return _layer(p, "y", h)


def ntm(p: Parameters, z: Sequence[Tensor], sharpening: bool = True, zeros_first: bool = False) -> Tensor:
    """Logits of one problem. Every step takes every read and write, also those nobody sees.

    Zeros first: a head interpolates at its first use too, with previous weights of 0.
    """
    n, slot_size = p["W_h"].shape[1], p["M"].shape[1]
    h, c, r = z[0].new_zeros(n), z[0].new_zeros(n), z[0].new_zeros(slot_size)
    memory = list(p["M"])
    nothing = [z[0].new_zeros(())] * len(memory) if zeros_first else None
    w_read: list[Tensor] | None = nothing
    w_write: list[Tensor] | None = nothing
    for t, z_t in enumerate([*z, torch.zeros_like(z[0])], start=1):
        h, c = _lstm_step(p, torch.cat([z_t, r]), h, c)
        old = memory
        if t == 1:
            r = z[0].new_zeros(slot_size)
        else:
            w_read = _ntm_address(p, "read", h, old, w_read, sharpening)
            r = _sum([w_j * slot for w_j, slot in zip(w_read, old, strict=True)])
        w_write = _ntm_address(p, "write", h, old, w_write, sharpening)
        erase, add = torch.sigmoid(_layer(p, "write.v", h)), torch.tanh(_layer(p, "write.a", h))
        memory = [slot * (1 - w_j * erase) + w_j * add for w_j, slot in zip(w_write, old, strict=True)]
    return _layer(p, "y", h)


def _ntm_address(
    p: Parameters,
    head: str,
    h: Tensor,
    memory: Sequence[Tensor],
    previous: Sequence[Tensor] | None,
    sharpening: bool,
) -> list[Tensor]:
    n_slots = len(memory)
    k = torch.tanh(_layer(p, f"{head}.k", h))
    beta = _softplus(_layer(p, f"{head}.beta", h))[0]
    g = torch.sigmoid(_layer(p, f"{head}.g", h))[0]
    s = _softmax(list(_layer(p, f"{head}.s", h)))
    w = _softmax([beta * _cosine(k, slot) for slot in memory])
    if previous is not None:
        w = [g * w_j + (1 - g) * before for w_j, before in zip(w, previous, strict=True)]
    w = [s[0] * w[(j + 1) % n_slots] + s[1] * w[j] + s[2] * w[(j - 1) % n_slots] for j in range(n_slots)]
    if not sharpening:
        return w
    e = 1 + _softplus(_layer(p, f"{head}.e", h))[0]
    powers = [torch.exp(e * torch.log(w_j)) for w_j in w]
    return [power / _sum(powers) for power in powers]


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    if not a.any() or not b.any():
        return (a * b).sum() / 1e-8
    product = (a * a).sum() ** 0.5 * (b * b).sum() ** 0.5
    return (a * b).sum() / (product if product > 1e-8 else 1e-8)


class MNMRun(NamedTuple):
    """Of one problem."""

    logits: Tensor
    losses: list[Tensor]
    """L_t of every step, T + 1 of them."""


def mnm(p: Parameters, z: Sequence[Tensor]) -> MNMRun:
    """The memory's matrices "W1", "W2", "W3" are copied and rewritten as a whole at every step."""
    n = p["W_h"].shape[1]
    h, c, r = z[0].new_zeros(n), z[0].new_zeros(n), z[0].new_zeros(n)
    weights = [p["W1"], p["W2"], p["W3"]]
    losses, o = [], h
    for z_t in [*z, torch.zeros_like(z[0])]:
        h, c = _lstm_step(p, torch.cat([z_t, r]), h, c)
        blocks = torch.tanh(_layer(p, "A", h))
        query, k_w, v_w, k_r = (blocks[number * n : (number + 1) * n] for number in range(4))
        beta = torch.sigmoid(_layer(p, "rate", query))[0]
        targets = _layer(p, "U", v_w)
        a1 = torch.tanh(weights[0] @ k_w)
        a2 = torch.tanh(weights[1] @ a1)
        a3 = weights[2] @ a2
        weights = [
            weights[0] - (2 / n) * beta * torch.outer(a1 - targets[:n], k_w),
            weights[1] - (2 / n) * beta * torch.outer(a2 - targets[n : 2 * n], a1),
            weights[2] - (2 / n) * beta * torch.outer(a3 - targets[2 * n :], a2),
        ]
        losses.append(((_mnm_memory(weights, k_w) - v_w) ** 2).sum() / n)
        r = _mnm_memory(weights, k_r)
        o = _layer(p, "R", torch.cat([h, r]))
    return MNMRun(_layer(p, "y", o), losses)


def _mnm_memory(weights: Sequence[Tensor], q: Tensor) -> Tensor:
    return weights[2] @ torch.tanh(weights[1] @ torch.tanh(weights[0] @ q))


def relation_net(p: Parameters, z: Sequence[Tensor]) -> Tensor:
    """Logits of one problem."""
    u = _tagged(z)
    total = _sum([_relation(p, "pair", [u_i, u_j]) for u_i in u for u_j in u])
    return _layer(p, "y", torch.relu(_layer(p, "hidden", total)))


def trn(p: Parameters, z: Sequence[Tensor], layers_after_sums: bool = False) -> Tensor:
    """Logits of one problem."""
    u = _tagged(z)
    terms = []
    for name, size in (("pair", 2), ("triple", 3)):
        chosen = [places for places in itertools.product(range(len(u)), repeat=size) if _increasing(places)]
        if chosen:
            total = _sum([_relation(p, name, [u[place] for place in places]) for places in chosen])
            terms.append(torch.relu(_layer(p, f"{name}.after", total)) if layers_after_sums else total)
    return _layer(p, "y", torch.relu(_layer(p, "hidden", _sum(terms))))


def _increasing(places: Sequence[int]) -> bool:
    return all(one < other for one, other in itertools.pairwise(places))


def _tagged(z: Sequence[Tensor]) -> list[Tensor]:
    return [torch.cat([z_t, z_t.new_tensor([t - 1])]) for t, z_t in enumerate(z, start=1)]


def _relation(p: Parameters, name: str, u: Sequence[Tensor]) -> Tensor:
    return torch.relu(_layer(p, f"{name}.2", torch.relu(_layer(p, f"{name}.1", torch.cat(list(u))))))


def _lstm_step(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    n = len(h)

    def gate(number: int) -> Tensor:
        rows = slice(number * n, (number + 1) * n)
        return p["W_x"][rows] @ x + p["b_x"][rows] + p["W_h"][rows] @ h + p["b_h"][rows]

    i, f, g, o = gate(0), gate(1), gate(2), gate(3)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _layer(p: Parameters, name: str, x: Tensor) -> Tensor:
    return p[f"{name}.W"] @ x + p[f"{name}.b"]


def _softplus(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


def _softmax(x: Sequence[Tensor]) -> list[Tensor]:
    powers = [torch.exp(x_j) for x_j in x]
    return [power / _sum(powers) for power in powers]


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
