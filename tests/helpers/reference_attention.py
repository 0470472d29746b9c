"""The attention models from their equations: slow, one problem, head, step and pair at a time.

It shares no code with the models, but was written from the equations of the paper's baselines, of CoRelNet and of the
Abstractor. Matrices are out x in and go by the names of the equations.

Legend: B problems, T steps, Z embedding.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]


def transformer(p: Parameters, z_BTZ: Tensor, heads: int, final_norm: bool) -> Tensor:
    """W_qkv, b_qkv, W_o, b_o, gain and bias of the norms 1 to 3, W_a, b_a, W_b, b_b, W_h, b_h, W_y, b_y.

    Norm 3 is the final one.
    """
    return torch.stack([_transformer(p, list(z_TZ), heads, final_norm) for z_TZ in z_BTZ])


def _transformer(p: Parameters, z: list[Tensor], heads: int, final_norm: bool) -> Tensor:
    x = [z_t + _sinusoid(t, z_t) for t, z_t in enumerate(z)]
    width = len(p["W_qkv"]) // 3
    q, k, v = (
        [p["W_qkv"][rows] @ x_t + p["b_qkv"][rows] for x_t in x]
        for rows in (slice(0, width), slice(width, 2 * width), slice(2 * width, 3 * width))
    )
    size = width // heads
    for i in range(len(x)):
        messages = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            w = _softmax([q[i][part] @ k_j[part] / math.sqrt(size) for k_j in k])
            messages.append(_sum([w_j * v_j[part] for w_j, v_j in zip(w, v, strict=True)]))
        a = p["W_o"] @ torch.cat(messages) + p["b_o"]
        x[i] = _norm(p, 1, x[i] + a)
    x = [_norm(p, 2, x_t + _feed_forward(p, x_t)) for x_t in x]
    if final_norm:
        x = [_norm(p, 3, x_t) for x_t in x]
    return _head(p, _sum(x) / len(x))


def predinet(p: Parameters, z_BTZ: Tensor, heads: int) -> Tensor:
    """W_K, W_1, W_2, W_S, W_h, b_h, W_y, b_y."""
    return torch.stack([_predinet(p, list(z_TZ), heads) for z_TZ in z_BTZ])


def _predinet(p: Parameters, z: list[Tensor], heads: int) -> Tensor:
    u = [torch.cat([z_t, torch.full_like(z_t[:1], t - 1)]) for t, z_t in enumerate(z, start=1)]
    keys = [p["W_K"] @ u_t for u_t in u]
    size = len(p["W_K"])
    parts = []
    for head in range(heads):
        found = []
        for name in ("W_1", "W_2"):
            query = p[name][head * size : (head + 1) * size] @ torch.cat(u)
            w = _softmax([query @ key for key in keys])
            found.append(_sum([w_t * u_t for w_t, u_t in zip(w, u, strict=True)]))
        parts += [p["W_S"] @ found[0] - p["W_S"] @ found[1], found[0][-1:], found[1][-1:]]
    return _head(p, torch.cat(parts))


def corelnet(p: Parameters, x_BTZ: Tensor, y_BTZ: Tensor, variant: str) -> Tensor:
    """W_h, b_h, W_y, b_y. Both embeddings are the same, z, unless the variant maps images in two ways."""
    pairs = zip(x_BTZ, y_BTZ, strict=True)
    return torch.stack([_head(p, corelnet_features(list(x_TZ), list(y_TZ), variant)) for x_TZ, y_TZ in pairs])


def corelnet_features(x: list[Tensor], y: list[Tensor], variant: str) -> Tensor:
    v = []
    for i in range(len(x)):
        last = len(x) if variant == "full" else i + 1
        row = [(x[i] * y[j]).sum() for j in range(last)]
        v += [a / len(x[i]) for a in row] if variant == "no_softmax" else _softmax(row)
    if variant == "with_content":
        v += [feature for x_t in x for feature in x_t]
    return torch.stack(v)


def abstractor(p: Parameters, z_BTZ: Tensor, heads: int, *, activation: str, simple: bool, pooling: str) -> Tensor:
    """Q, K, V, O and their biases, U and its bias, S, gain and bias of the norms 1, 2, W_a, b_a, W_b, b_b and the head.

    What is missing: biases are 0, K is Q, S is the sinusoids.
    """
    return torch.stack([_abstractor(p, list(z_TZ), heads, activation, simple, pooling) for z_TZ in z_BTZ])


def _abstractor(p: Parameters, z: list[Tensor], heads: int, activation: str, simple: bool, pooling: str) -> Tensor:
    symbols = list(p["S"]) if "S" in p else [_sinusoid(t, z_t) for t, z_t in enumerate(z)]
    size = len(p["Q"]) // heads
    act: Callable[[list[Tensor]], list[Tensor]] = {
        "softmax": _softmax,
        "sigmoid": lambda row: [1 / (1 + torch.exp(-a)) for a in row],
        "tanh": lambda row: [(torch.exp(a) - torch.exp(-a)) / (torch.exp(a) + torch.exp(-a)) for a in row],
        "identity": lambda row: row,
    }[activation]
    s = []
    for i in range(len(z)):
        messages = []
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            query = p["Q"][rows] @ z[i] + (p["b_Q"][rows] if "b_Q" in p else 0)
            scores = []
            for z_j in z:
                key = (p["K"] if "K" in p else p["Q"])[rows] @ z_j + (p["b_K"][rows] if "b_K" in p else 0)
                scores.append(query @ key / (1 if simple else math.sqrt(size)))
            relations = act(scores)
            values = symbols if simple else [p["V"][rows] @ s_j + p["b_V"][rows] for s_j in symbols]
            messages.append(_sum([r_j * v_j for r_j, v_j in zip(relations, values, strict=True)]))
        if simple:
            s_i = torch.cat([p["U"][head].T @ messages[head] for head in range(heads)]) + p["b_U"]
        else:
            s_i = _norm(p, 1, symbols[i] + p["O"] @ torch.cat(messages) + p["b_O"])
        s.append(_norm(p, 2, s_i + _feed_forward(p, s_i)))
    return _head(p, torch.cat(s) if pooling == "flatten" else _sum(s) / len(s))


def _feed_forward(p: Parameters, x: Tensor) -> Tensor:
    return p["W_b"] @ _relu(p["W_a"] @ x + p["b_a"]) + p["b_b"]


def _head(p: Parameters, x: Tensor) -> Tensor:
    return p["W_y"] @ _relu(p["W_h"] @ x + p["b_h"]) + p["b_y"]


def _norm(p: Parameters, number: int, x: Tensor) -> Tensor:
    """Layer normalisation: biased variance, 1e-5 inside the root."""
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return p[f"gain_{number}"] * (x - mean) / (variance + 1e-5) ** 0.5 + p[f"bias_{number}"]


def _sinusoid(tau: int, like: Tensor) -> Tensor:
    code = []
    for feature in range(len(like)):
        i = feature // 2
        angle = tau * 10_000 ** (-2 * i / len(like))
        code.append(math.sin(angle) if feature % 2 == 0 else math.cos(angle))
    return torch.tensor(code, dtype=like.dtype)


def _softmax(scores: list[Tensor]) -> list[Tensor]:
    largest = max(float(a.detach()) for a in scores)
    exponentials = [torch.exp(a - largest) for a in scores]
    return [e / _sum(exponentials) for e in exponentials]


def _relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0)


def _sum(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
