"""The Neural Turing Machine (Graves et al. 2014; paper appendix).

Legend: B problems, T steps, Z embedding, M memory slots, K slot size, H hidden, C choices.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.baseline_configs import NTMConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import GATES, Linear, LSTMCell, draw
from esbn_core.seeding import Stream

COSINE_FLOOR = 1e-8  # of the product of the two norms


class Address(NamedTuple):
    """Address that a head produces, before the activations of its parts."""

    key_BK: Tensor
    strength_B1: Tensor
    gate_B1: Tensor
    shift_B3: Tensor
    sharpening_B1: Tensor | None = None


def _address_blocks(slot_size: int, sharpening: bool) -> list[tuple[int, str]]:
    """Size and activation of each part of an address."""
    blocks = [(slot_size, "tanh"), (1, "relu"), (1, "linear"), (3, "linear")]
    return [*blocks, (1, "relu")] if sharpening else blocks


class Head(nn.Module):
    """Linear maps of the controller's state, concatenated: an address, and further parts of the slot's size.

        w = softmax_j(beta cos(k, M_j))                 k = tanh(.), beta = softplus(.)
        w = g w + (1 - g) w_prev                        g = sig(.); left out at the head's first use
        w_j = s_1 w_{j+1} + s_2 w_j + s_3 w_{j-1}       s = softmax(.), slots in a circle
        w_j = w_j^e / sum_l w_l^e                       e = 1 + softplus(.); 1 without sharpening

    On two-step problems each head is used once, so its gate g gets no gradient.
    """

    def __init__(self, config: NTMConfig, more: list[str], generator: torch.Generator):
        super().__init__()
        n_hidden, slot_size = config.hidden_size, config.slot_size
        blocks = _address_blocks(slot_size, config.sharpening)
        self.n_address = len(blocks)
        blocks += [(slot_size, role) for role in more]
        self.sizes = [size for size, _ in blocks]
        self.linear = Linear(torch.cat([draw(n_hidden, size, role, generator) for size, role in blocks], dim=1))

    def forward(self, h_BH: Tensor, memory_BMK: Tensor, previous_BM: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Weights of the slots, [B, M], and the further parts, each [B, K]."""
        parts = self.linear(h_BH).split(self.sizes, dim=-1)
        address = Address(*parts[: self.n_address])
        return _weights(address, memory_BMK, previous_BM), parts[self.n_address :]


def _weights(address: Address, memory_BMK: Tensor, previous_BM: Tensor | None) -> Tensor:
    key_BK, strength_B1 = torch.tanh(address.key_BK), F.softplus(address.strength_B1)
    w_BM = torch.softmax(strength_B1 * _cosine(key_BK, memory_BMK), dim=-1)
    if previous_BM is not None:
        g_B1 = torch.sigmoid(address.gate_B1)
        w_BM = g_B1 * w_BM + (1 - g_B1) * previous_BM
    s1_B1, s2_B1, s3_B1 = torch.softmax(address.shift_B3, dim=-1).split(1, dim=-1)
    w_BM = s1_B1 * w_BM.roll(-1, dims=-1) + s2_B1 * w_BM + s3_B1 * w_BM.roll(1, dims=-1)
    if address.sharpening_B1 is not None:
        w_BM = w_BM ** (1 + F.softplus(address.sharpening_B1))
    return w_BM / w_BM.sum(-1, keepdim=True)


def _cosine(key_BK: Tensor, memory_BMK: Tensor) -> Tensor:
    """[B, M]; the floor makes the cosine of a zero key 0, and its gradient finite."""
    norms_BM = key_BK.norm(dim=-1, keepdim=True) * memory_BMK.norm(dim=-1)
    return (memory_BMK @ key_BK[..., None]).squeeze(-1) / norms_BM.clamp(min=COSINE_FLOOR)


def _written(memory_BMK: Tensor, w_BM: Tensor, erase_BK: Tensor, add_BK: Tensor) -> Tensor:
    w_BM1 = w_BM[..., None]
    return memory_BMK * (1 - w_BM1 * erase_BK[:, None]) + w_BM1 * add_BK[:, None]


class NTM(Core):
    """An LSTM controller with one read and one write head on a memory with learned initial content.

        h_t, c_t = LSTM([z_t ; r_{t-1}]; h_{t-1}, c_{t-1})       r_0 = r_1 = h_0 = c_0 = 0, z_{T+1} = 0
        r_t = sum_j w^r_tj M_tj                                  t > 1; M_t is the memory before the write of step t
        M_{t+1,j} = M_tj (1 - w^w_tj v_t) + w^w_tj a_t           erase v = sig(.), add a = tanh(.); elementwise
        logits = W_y h_{T+1} + b_y

    The write of step T would never be read, so it is left out.
    Source: official models/NTM.py. Sharpening is in the code only. At a head's first use, the paper sets w_prev = 0 and
    the code skips the interpolation. The two are the same, since the division by the sum cancels the factor g.
    """

    def __init__(self, config: NTMConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        n_hidden, slot_size = config.hidden_size, config.slot_size
        self.lstm = LSTMCell(n_features + slot_size, n_hidden, stream, GATES[config.gate_init])
        self.memory_MK = nn.Parameter(draw(config.slots, slot_size, "linear", stream("memory")))
        self.read_head = Head(config, [], stream("read head"))
        self.write_head = Head(config, ["linear", "tanh"], stream("write head"))
        self.output = Linear(draw(n_hidden, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        n_steps, no_image_BZ = z_BTZ.shape[1], torch.zeros_like(z_BTZ[:, 0])
        read_BK = z_BTZ.new_zeros(len(z_BTZ), self.memory_MK.shape[1])
        memory_BMK, state, read_weights_BM, write_weights_BM = self.memory_MK[None], None, None, None
        for t in range(n_steps):
            h_BH, _ = state = self.lstm(torch.cat([z_BTZ[:, t], read_BK], dim=-1), state)
            before_BMK = memory_BMK
            if t > 0:
                read_weights_BM, _ = self.read_head(h_BH, before_BMK, read_weights_BM)
                read_BK = (read_weights_BM[:, None] @ before_BMK).squeeze(1)
            if t < n_steps - 1:
                write_weights_BM, (erase_BK, add_BK) = self.write_head(h_BH, before_BMK, write_weights_BM)
                memory_BMK = _written(before_BMK, write_weights_BM, torch.sigmoid(erase_BK), torch.tanh(add_BK))
        h_BH, _ = self.lstm(torch.cat([no_image_BZ, read_BK], dim=-1), state)
        return self.output(h_BH)
