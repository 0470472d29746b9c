"""From object images and problems to logits; the only forward that sees pixels.

Legend: N objects, B problems, T steps, Z embedding, C choices.
"""

from functools import partial

from torch import Tensor, nn

from esbn_core.config import ESBNConfig, TrialConfig
from esbn_core.models.context_norm import context_norm
from esbn_core.models.encoders import ENCODERS
from esbn_core.models.esbn import ESBN
from esbn_core.seeding import torch_rng

MODELS = {ESBNConfig: ESBN}
"""Config type -> core; the one place where the two meet."""


class SequenceClassifier(nn.Module):
    """Encoder -> temporal context normalisation -> core (paper section 3).

    A plain network without state, so `torch.func.vmap` can run many of them at once.
    """

    def __init__(self, config: TrialConfig):
        """Builds the network of a resolved config, whose seed draws the initial weights.

        Layers of equal shape start equal in all variants of a seed.
        """
        super().__init__()
        spec, n_features = config.task.spec, config.embedding_size
        assert config.tcn is not None
        stream = partial(torch_rng, config.seed)
        self.encoder = ENCODERS[config.encoder](n_features, stream)
        self.norm = context_norm(config.tcn, n_features, spec.n_steps)
        core = MODELS[type(config.model)]
        self.core = core(config.model, n_features, spec, stream)

    def forward(self, objects_N1HW: Tensor, indices_BT: Tensor) -> Tensor:
        """Classifies problems.

        Args:
            objects_N1HW: [N, 1, 32, 32] float in [0, 1], the images the indices point to.
            indices_BT: [B, T] int64 in [0, N), the object of each step.
        Returns:
            [B, C] logits.
        """
        return self.core(self.embed(objects_N1HW, indices_BT))

    def with_penalty(self, objects_N1HW: Tensor, indices_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, C], and the scalar that training adds to their cross-entropy."""
        return self.core.with_penalty(self.embed(objects_N1HW, indices_BT))

    def embed(self, objects_N1HW: Tensor, indices_BT: Tensor) -> Tensor:
        """Embeddings after normalisation, [B, T, Z]. Each object is encoded once, so equal images stay equal bits."""
        z_NZ = self.encoder(objects_N1HW)
        return self.norm(z_NZ[indices_BT])
