"""The Temporal Relation Network (Zhou et al. 2018; paper appendix).

Legend: B problems, T steps, Z embedding, U embedding with its position, R relation, C choices.
"""

import itertools

from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.baseline_configs import TRNConfig
from esbn_core.counts import TaskSpec
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw, position_tag
from esbn_core.models.relation_net import RelationSum
from esbn_core.seeding import Stream


class TRN(Core):
    """Compares the steps of every pair and triple in temporal order, and classifies from the sums.

        u_t = [z_t ; t - 1]        P = sum_{i<j} g_2([u_i ; u_j])        Q = sum_{i<j<l} g_3([u_i ; u_j ; u_l])
        g_n(u) = relu(W_n2 relu(W_n1 u + b_n1) + b_n2)
        logits = W_y relu(W (P + Q) + b) + b_y                           Q is absent for two steps
        layers_after_sums: relu(V_2 P + c_2) and relu(V_3 Q + c_3) replace P and Q

    Source: official models/TRN.py, which computes the layers after the sums that the paper's text describes, but does
    not use them.
    """

    def __init__(self, config: TRNConfig, n_features: int, task: TaskSpec, stream: Stream):
        super().__init__()
        n_hidden, n_relation = config.hidden_size, config.relation_size
        self.sums, self.after_sums = nn.ModuleList(), nn.ModuleList()
        for n_places, name in ((2, "pairs"), (3, "triples"))[: task.n_steps - 1]:
            first = Linear(draw(n_places * (n_features + 1), n_hidden, "relu", stream(f"{name} first")))
            second = Linear(draw(n_hidden, n_relation, "relu", stream(f"{name} second")))
            tuples = itertools.combinations(range(task.n_steps), n_places)
            self.sums.append(RelationSum(tuples, task.n_steps, first, second))
            if config.layers_after_sums:
                after = Linear(draw(n_relation, n_relation, "relu", stream(f"{name} after sum")))
                self.after_sums.append(nn.Sequential(after, nn.ReLU()))
            else:
                self.after_sums.append(nn.Identity())
        self.hidden = Linear(draw(n_relation, n_relation, "relu", stream("hidden")))
        self.output = Linear(draw(n_relation, task.n_choices, "linear", stream("output")))

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        u_BTU = position_tag(z_BTZ)
        terms = [after(total(u_BTU)) for total, after in zip(self.sums, self.after_sums, strict=True)]
        return self.output(F.relu(self.hidden(sum(terms[1:], start=terms[0]))))
