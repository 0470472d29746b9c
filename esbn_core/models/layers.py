"""Layers and initialisers shared by the models.

Legend: I inputs, O outputs, G the four gates side by side, H hidden units, B problems, T steps, Z embedding,
U embedding with its position.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from esbn_core.seeding import Stream

ROLES = {
    "relu": lambda n_in, n_out: math.sqrt(2 / n_in),  # He
    "linear": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),  # Xavier; also before a sigmoid
    "tanh": lambda n_in, n_out: 5 / 3 * math.sqrt(2 / (n_in + n_out)),  # Xavier with the gain of tanh
}
"""Activation after a layer -> standard deviation of its initial weights, from fan-in and fan-out."""


def draw(n_in: int, n_out: int, role: str, generator: torch.Generator) -> Tensor:
    """Initial weights [I, O], normal with mean 0 and the standard deviation of the role."""
    return torch.randn(n_in, n_out, generator=generator) * ROLES[role](n_in, n_out)


def product(x: Tensor, weight_IO: Tensor) -> Tensor:
    """x W in the precision of W."""
    return x.to(weight_IO.dtype) @ weight_IO


def in_bf16(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters by name, with bfloat16 copies of the weights of products and convolutions.

    Biases, gains, memories and symbols stay float32, and so does all arithmetic except products with weights: adding a
    float32 bias gives float32 again.
    """
    products = {name for name in parameters if name.endswith("weight_IO") or ".kernels." in name}
    return {name: x.bfloat16() if name in products else x for name, x in parameters.items()}


class Linear(nn.Module):
    """y = x W + b with W stored as [I, O]; b starts at 0 unless given.

    The gradient x^T g then has the layout of W. With PyTorch's [O, I], every backward pass under `vmap` makes another
    copy, which takes a third of the time of an update on two-step problems.
    """

    def __init__(self, weight_IO: Tensor, bias_O: Tensor | None = None):
        super().__init__()
        self.weight_IO = nn.Parameter(weight_IO)
        self.bias_O = nn.Parameter(torch.zeros(weight_IO.shape[1]) if bias_O is None else bias_O)

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight_IO) + self.bias_O


def uniform(n_in: int, n_out: int, bound: float, generator: torch.Generator) -> Tensor:
    """Initial weights [I, O], uniform on +-bound."""
    return (2 * torch.rand(n_in, n_out, generator=generator) - 1) * bound


def uniform_linear(n_in: int, n_out: int, generator: torch.Generator, bound: float | None = None) -> Linear:
    """A layer whose weights and bias both start uniform on +-bound; None: 1/sqrt(I)."""
    bound = 1 / math.sqrt(n_in) if bound is None else bound
    return Linear(uniform(n_in, n_out, bound, generator), uniform(1, n_out, bound, generator)[0])


def normal_gates(n_in: int, n_hidden: int, generator: torch.Generator) -> Linear:
    """The gates of an LSTM, each drawn for its activation; bias 0.

    The weights of the gates i and f are drawn as one matrix, so their standard deviation is smaller than for a gate
    drawn separately. Source: official models/ESBN.py, the initialisation of `self.lstm`.
    """
    blocks = ((2 * n_hidden, "linear"), (n_hidden, "tanh"), (n_hidden, "linear"))
    return Linear(torch.cat([draw(n_in, size, role, generator) for size, role in blocks], dim=1))


def normal_gates_apart(n_in: int, n_hidden: int, generator: torch.Generator) -> Linear:
    """The gates of an LSTM, each drawn separately for its activation, as the paper's text implies; bias 0."""
    roles = ("linear", "linear", "tanh", "linear")
    return Linear(torch.cat([draw(n_in, n_hidden, role, generator) for role in roles], dim=1))


GATES = {"joint": normal_gates, "per_gate": normal_gates_apart}


def uniform_gates(n_in: int, n_hidden: int, generator: torch.Generator) -> Linear:
    """The gates of an LSTM with weights and bias uniform on +-1/sqrt(H), the default of PyTorch's LSTM."""
    return uniform_linear(n_in, 4 * n_hidden, generator, bound=1 / math.sqrt(n_hidden))


class LSTMCell(nn.Module):
    """One LSTM step; pre-activations in the order i, f, g, o, and two bias vectors.

    The two biases always have equal gradients, so under Adam their sum moves twice as fast as one would.
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        stream: Stream,
        gates: Callable[[int, int, torch.Generator], Linear] = normal_gates,
    ):
        super().__init__()
        self.input = gates(n_in, n_hidden, stream("lstm input"))
        self.hidden = gates(n_hidden, n_hidden, stream("lstm hidden"))

    def forward(
        self, x_BI: Tensor | None, state: tuple[Tensor, Tensor] | None, extra_BG: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step -> hidden and cell state, each [B, H].

        Pass an all-zero input or state as None, which saves its product. A batch of 1 broadcasts.
        `extra_BG` is added to the pre-activations.
        """
        p_BG = (self.input.bias_O + self.hidden.bias_O)[None]
        if x_BI is not None:
            p_BG = p_BG + product(x_BI, self.input.weight_IO)
        if state is not None:
            p_BG = p_BG + product(state[0], self.hidden.weight_IO)
        if extra_BG is not None:
            p_BG = p_BG + extra_BG
        i, f, g, o = p_BG.chunk(4, dim=-1)
        c_BH = torch.sigmoid(i) * torch.tanh(g)
        if state is not None:
            c_BH = c_BH + torch.sigmoid(f) * state[1]
        return torch.sigmoid(o) * torch.tanh(c_BH), c_BH


def position_tag(z_BTZ: Tensor) -> Tensor:
    """Appends to each embedding its position 0 .. T - 1 as a raw number: [B, T, Z] -> [B, T, U], U = Z + 1."""
    position_T1 = torch.arange(z_BTZ.shape[1], dtype=z_BTZ.dtype, device=z_BTZ.device)[:, None]
    return torch.cat([z_BTZ, position_T1.expand(*z_BTZ.shape[:-1], 1)], dim=-1)
