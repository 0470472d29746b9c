"""The whole network, from object images and problems to logits; the only module that sees pixels.

Legend: N objects, X an object's image or embedding, B problems, T steps, Z embedding, C choices.
"""

import dataclasses
from functools import partial
from typing import overload

from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core import baseline_configs as baselines
from esbn_core.config import ESBNConfig, ResolvedTrial
from esbn_core.models.abstractor import Abstractor
from esbn_core.models.context_norm import context_norm
from esbn_core.models.core import Core
from esbn_core.models.corelnet import CoRelNet
from esbn_core.models.encoders import ENCODERS
from esbn_core.models.esbn import ESBN
from esbn_core.models.lstm import LSTM
from esbn_core.models.mnm import MNM
from esbn_core.models.ntm import NTM
from esbn_core.models.predinet import PrediNet
from esbn_core.models.relation_net import RelationNet
from esbn_core.models.transformer import Transformer
from esbn_core.models.trn import TRN
from esbn_core.own_model import OwnModel
from esbn_core.seeding import torch_rng

MODELS: dict[type, type[Core]] = {
    ESBNConfig: ESBN,
    baselines.LSTMConfig: LSTM,
    baselines.NTMConfig: NTM,
    baselines.MNMConfig: MNM,
    baselines.RNConfig: RelationNet,
    baselines.TRNConfig: TRN,
    baselines.TransformerConfig: Transformer,
    baselines.PrediNetConfig: PrediNet,
    baselines.CoRelNetConfig: CoRelNet,
    baselines.AbstractorConfig: Abstractor,
    baselines.SimpleAbstractorConfig: Abstractor,
}
"""Config type -> core; the only place that connects the two."""


class SequenceClassifier(nn.Module):
    """Encoder -> temporal context normalisation -> core (paper section 3).

    The network has no state, so `torch.func.vmap` can run many of them at once.
    """

    def __init__(self, config: ResolvedTrial):
        """Builds the network of a trial; its seed determines the initial weights.

        Layers of equal shape start with equal weights in all variants of a seed.
        """
        super().__init__()
        spec, n_features = config.task.spec, config.embedding_size
        self.sigmoid = config.output == "sigmoid"
        if self.sigmoid:
            spec = dataclasses.replace(spec, n_choices=1)
        stream = partial(torch_rng, config.seed)
        self.encoder = ENCODERS[config.encoder](n_features, stream)
        self.norm = context_norm(config.tcn, n_features, spec.n_steps)
        model = config.model
        core = model.core if isinstance(model, OwnModel) else MODELS[type(model)]
        self.core: Core = core(model, n_features, spec, stream)

    @overload
    def forward(self, objects_NX: Tensor, indices_BT: Tensor) -> Tensor: ...
    @overload
    def forward(self, objects_NX: Tensor, indices_BT: Tensor, with_penalty: bool) -> tuple[Tensor, Tensor]: ...
    def forward(
        self, objects_NX: Tensor, indices_BT: Tensor, with_penalty: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Classifies problems.

        Args:
            objects_NX: [N, 1, 32, 32] float in [0, 1], the images that the indices refer to; or [N, Z], their
                embeddings by an untrained encoder.
            indices_BT: [B, T] int64 in [0, N), the object of each step.
            with_penalty: also return the scalar that training adds to the cross-entropy.
        Returns:
            [B, C] logits.
        """
        logits_BC, penalty = self.core.with_penalty(self.embed(objects_NX, indices_BT))
        logits_BC = self.per_choice(logits_BC)
        return (logits_BC, penalty) if with_penalty else logits_BC

    def per_choice(self, logits_BC: Tensor) -> Tensor:
        """Returns one logit per choice; one sigmoid unit x becomes (0, x), whose softmax is the sigmoid of x."""
        return F.pad(logits_BC, (1, 0)) if self.sigmoid else logits_BC

    def embed(self, objects_NX: Tensor, indices_BT: Tensor) -> Tensor:
        """Normalised embeddings, [B, T, Z]. Each object is encoded once, so equal images have bit-equal embeddings."""
        z_NZ = objects_NX if objects_NX.dim() == 2 else self.encoder(objects_NX)
        z_NZ = self.core.project(z_NZ)
        return self.norm(z_NZ[indices_BT])
