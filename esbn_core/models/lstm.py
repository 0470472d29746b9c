"""The LSTM (paper section 4 and appendix).

Legend: B problems, T steps, Z embedding, H hidden, C choices.
"""

from torch import Tensor

from esbn_core.baseline_configs import LSTMConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import GATES, Linear, LSTMCell, draw
from esbn_core.seeding import Stream


class LSTM(Core):
    """Reads the embeddings one by one and answers from its last hidden state.

        h_t, c_t = LSTM(z_t; h_{t-1}, c_{t-1})        logits = W_y h_T + b_y        h_0 = c_0 = 0

    Source: official models/LSTM.py. There is no extra step after the last image.
    """

    def __init__(self, config: LSTMConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        self.lstm = LSTMCell(n_features, config.hidden_size, stream, GATES[config.gate_init])
        self.output = Linear(draw(config.hidden_size, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        state = self.lstm(z_BTZ[:, 0], None)
        for t in range(1, z_BTZ.shape[1]):
            state = self.lstm(z_BTZ[:, t], state)
        h_BH, _ = state
        return self.output(h_BH)
