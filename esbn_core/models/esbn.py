"""The Emergent Symbol Binding Network (paper section 3.2).

Legend: B problems, T steps, Z embedding, K key, R read (the key, and the confidence if it is on), H hidden, C choices,
S memory entries: the default one if there is one, then one per step so far.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.config import ESBNConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import GATES, Linear, LSTMCell, draw
from esbn_core.models.leak import Leak
from esbn_core.models.retrieval import RETRIEVALS
from esbn_core.seeding import Stream


class Read(NamedTuple):
    """Result of reading the memory at one step."""

    vector_BR: Tensor
    """The gated read, the controller's input at the next step."""
    gate_B1: Tensor
    weights_BS: Tensor


class Step(NamedTuple):
    """Writes and reads of one step; step 1 has no read. Parts equal for all problems have a batch of 1."""

    key_BK: Tensor
    read: Read | None


class ESBN(Core):
    """An LSTM that writes a key beside each embedding and reads the keys of embeddings that match the current one.

        h_t, c_t = LSTM(r_{t-1}; h_{t-1}, c_{t-1})        k_t = relu(W_k h_t + b_k)        g_t = sig(w_g h_t + b_g)
        w_t = softmax_i(z_t . z_i), i < t                 q_ti = sig(a z_t . z_i + b)
        r_t = g_t [sum_i w_ti k_i ; sum_i w_ti q_ti]      logits = W_y h_{T+1} + b_y       r_0 = r_1 = h_0 = c_0 = 0

    The controller gets no image, so steps 1 and 2 are the same for every problem and run with a batch of one. The
    values are the embeddings, so one Gram matrix holds all similarities of a problem.

    Not in the paper: `retrieval` other than the dot product, and the leak. A leak adds l_t = lambda V z_t to the gates
    of the LSTM or to k_t before the ReLU, or lambda V [z_1 ; .. ; z_T] to the logits.
    """

    def __init__(self, config: ESBNConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.confidence = config.confidence
        n_hidden, n_key = config.hidden_size, config.key_size
        self.lstm = LSTMCell(n_key + (config.confidence == "on"), n_hidden, stream, GATES[config.gate_init])
        self.key = Linear(draw(n_hidden, n_key, "relu", stream("key")))
        self.gate = Linear(draw(n_hidden, 1, "linear", stream("gate")))
        self.output = Linear(draw(n_hidden, task.n_choices, "linear", stream("output")))
        if config.confidence == "on":
            self.confidence_gain = nn.Parameter(torch.ones(()))
            self.confidence_bias = nn.Parameter(torch.zeros(()))
        if config.confidence == "default_memory":
            self.default_key_K = nn.Parameter(torch.zeros(n_key))
            self.default_value_Z = nn.Parameter(torch.zeros(n_features))
        self.similarities = RETRIEVALS[config.retrieval](n_features, stream)
        self.leak = Leak(config, n_features, task, stream) if config.leak else None

    def with_penalty(self, z_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, Z] -> logits [B, C], and the penalty on the leak."""
        if self.leak is None:
            return self.run(z_BTZ)[0], z_BTZ.new_zeros(())
        leak_BTX = self.leak(z_BTZ)
        return self.run(z_BTZ, leak_BTX)[0], self.leak.penalty(leak_BTX)

    def trace(self, z_BTZ: Tensor) -> list[Step]:
        """Writes and reads of each of the T steps (paper section 5.4)."""
        return self.run(z_BTZ, self.leak(z_BTZ) if self.leak else None)[1]

    def run(self, z_BTZ: Tensor, leak_BTX: Tensor | None = None) -> tuple[Tensor, list[Step]]:
        """Logits and steps. leak_BTX is added to the X units of its target (T = 1 for the logits); None: no leak."""
        values_BSZ, keys = z_BTZ, []
        if self.confidence == "default_memory":
            default_B1Z = self.default_value_Z.expand(len(z_BTZ), 1, -1)
            values_BSZ, keys = torch.cat([default_B1Z, z_BTZ], dim=1), [self.default_key_K[None]]
        similarity_BTS = self.similarities(z_BTZ, values_BSZ)
        leaks = {} if self.leak is None or leak_BTX is None else {self.leak.into: leak_BTX}
        read, state, steps = None, None, []
        for t in range(z_BTZ.shape[1]):
            state = self.lstm(read and read.vector_BR, state, _at(t, leaks.get("controller")))
            if t > 0:
                read = self._read(state[0], similarity_BTS[:, t, : len(keys)], keys)
            keys.append(F.relu(_plus(self.key(state[0]), _at(t, leaks.get("key")))))
            steps.append(Step(keys[-1], read))
        h_BH, _ = self.lstm(read and read.vector_BR, state)
        return _plus(self.output(h_BH), _at(0, leaks.get("output"))), steps

    def _read(self, h_BH: Tensor, similarity_BS: Tensor, keys: list[Tensor]) -> Read:
        weights_BS = torch.softmax(similarity_BS, dim=-1)
        parts = [weights_BS[:, i, None] * key_BK for i, key_BK in enumerate(keys)]
        vector_BR = sum(parts[1:], start=parts[0])
        if self.confidence == "on":
            q_BS = torch.sigmoid(self.confidence_gain * similarity_BS + self.confidence_bias)
            vector_BR = torch.cat([vector_BR, (weights_BS * q_BS).sum(-1, keepdim=True)], dim=-1)
        gate_B1 = torch.sigmoid(self.gate(h_BH))
        return Read(gate_B1 * vector_BR, gate_B1, weights_BS)


def _at(t: int, leak_BTX: Tensor | None) -> Tensor | None:
    return None if leak_BTX is None else leak_BTX[:, t]


def _plus(x: Tensor, more: Tensor | None) -> Tensor:
    return x if more is None else x + more
