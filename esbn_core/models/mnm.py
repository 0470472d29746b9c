"""Metalearned Neural Memory with a learned local update, MNM-p (Munkhdalai et al. 2019; paper appendix).

Legend: B problems, T steps, Z embedding, H size of all other vectors, Q queries, S steps written so far, L layers of
the memory, C choices.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from esbn_core.baseline_configs import MNMConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import LSTMCell, uniform, uniform_gates, uniform_linear
from esbn_core.seeding import Stream

N_LAYERS = 3


class FastLayer(NamedTuple):
    """A linear layer W = W_0 + sum_s d_s x_s^T, which differs between problems only by its S writes.

    So W is never formed: W x = W_0 x + sum_s d_s (x_s . x), which costs S + 1 vectors per problem instead of a matrix.
    """

    weight_HH: Tensor
    """W_0, shared by all problems; inputs in rows, outputs in columns."""
    inputs_BSH: Tensor
    changes_BSH: Tensor

    def __call__(self, x_BQH: Tensor) -> Tensor:
        return x_BQH @ self.weight_HH + x_BQH @ self.inputs_BSH.mT @ self.changes_BSH

    def written(self, input_B1H: Tensor, change_B1H: Tensor) -> "FastLayer":
        """The layer after W += change input^T."""
        return FastLayer(
            self.weight_HH,
            torch.cat([self.inputs_BSH, input_B1H], dim=1),
            torch.cat([self.changes_BSH, change_B1H], dim=1),
        )


Memory = list[FastLayer]


def _activations(memory: Memory, q_BQH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """tanh(W_1 q), tanh(W_2 tanh(W_1 q)) and F(q) = W_3 tanh(W_2 tanh(W_1 q)), each [B, Q, H]."""
    first, second, third = memory
    a1_BQH = torch.tanh(first(q_BQH))
    a2_BQH = torch.tanh(second(a1_BQH))
    return a1_BQH, a2_BQH, third(a2_BQH)


class MNM(Core):
    """An LSTM controller whose memory is a network F that learns by a local rule to map keys to values.

        h_t, c_t = LSTM([z_t ; r_{t-1}]; h_{t-1}, c_{t-1})        r_0 = h_0 = c_0 = 0, z_{T+1} = 0
        (p, k_w, v_w, k_r) = tanh(A h_t + b_A)      beta = sig(w_p . p + b_p)      (e_1, e_2, e_3) = U v_w + b_U
        W_l += -(2/H) beta (a_l - e_l) a_{l-1}^T    a_l the activations of F(k_w) before the update, a_0 = k_w
        r_t = F(k_r)    L_t = mean (F(k_w) - v_w)^2    with F after the update
        logits = W_y (R [h_{T+1} ; r_{T+1}] + b_R) + b_y          penalty = (1/T) sum_{t=1}^{T+1} L_t

    Every problem starts from the same W_l, drawn once per network and never trained. All layers start uniform on
    +-1/sqrt(inputs), the LSTM on +-1/sqrt(H).
    Source: official models/MNM.py, without its unused layer norm and feature projection. Difference: the starting W_l
    are saved with the network.
    """

    start_LHH: Tensor

    def __init__(self, config: MNMConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        n = self.n_hidden = config.hidden_size
        self.lstm = LSTMCell(n_features + n, n, stream, gates=uniform_gates)
        self.interaction = uniform_linear(n, 4 * n, stream("interaction"))
        self.rate = uniform_linear(n, 1, stream("rate"))
        self.expected = uniform_linear(n, N_LAYERS * n, stream("expected"))
        self.read_out = uniform_linear(2 * n, n, stream("read out"))
        self.output = uniform_linear(n, task.n_choices, stream("output"))
        generator = stream("starting memory")
        start_LHH = torch.stack([uniform(n, n, 1 / math.sqrt(n), generator) for _ in range(N_LAYERS)])
        self.register_buffer("start_LHH", start_LHH)

    def with_penalty(self, z_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, Z] -> logits [B, C], and the loss of the memory over all steps, a scalar averaged over problems."""
        n_problems, n_steps, _ = z_BTZ.shape
        nothing_B0H = z_BTZ.new_zeros(n_problems, 0, self.n_hidden)
        memory = [FastLayer(weight_HH, nothing_B0H, nothing_B0H) for weight_HH in self.start_LHH]
        h_BH = r_BH = z_BTZ.new_zeros(n_problems, self.n_hidden)
        state, penalty = None, z_BTZ.new_zeros(())
        for z_BZ in (*z_BTZ.unbind(1), torch.zeros_like(z_BTZ[:, 0])):
            h_BH, _ = state = self.lstm(torch.cat([z_BZ, r_BH], dim=-1), state)
            memory, r_BH, loss = self._use(memory, h_BH)
            penalty = penalty + loss / n_steps
        return self.output(self.read_out(torch.cat([h_BH, r_BH], dim=-1))), penalty

    def _use(self, memory: Memory, h_BH: Tensor) -> tuple[Memory, Tensor, Tensor]:
        """Writes, then reads; returns the new memory, the read [B, H] and the loss of the write."""
        p_B1H, k_w_B1H, v_w_B1H, k_r_B1H = torch.tanh(self.interaction(h_BH[:, None])).chunk(4, dim=-1)
        beta_B11 = torch.sigmoid(self.rate(p_B1H))
        a1_B1H, a2_B1H, a3_B1H = _activations(memory, k_w_B1H)
        inputs, outputs = (k_w_B1H, a1_B1H, a2_B1H), (a1_B1H, a2_B1H, a3_B1H)
        expected = self.expected(v_w_B1H).chunk(N_LAYERS, dim=-1)
        memory = [
            layer.written(input_B1H, -2 / self.n_hidden * beta_B11 * (a_B1H - e_B1H))
            for layer, input_B1H, a_B1H, e_B1H in zip(memory, inputs, outputs, expected, strict=True)
        ]
        *_, f_B2H = _activations(memory, torch.cat([k_w_B1H, k_r_B1H], dim=1))
        written_BH, read_BH = f_B2H.unbind(1)
        return memory, read_BH, F.mse_loss(written_BH, v_w_B1H.squeeze(1))
