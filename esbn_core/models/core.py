"""Interface of every architecture to the classifier around it.

Legend: B problems, T steps, Z embedding, C choices.
"""

from torch import Tensor, nn


class Core(nn.Module):
    """Maps the embeddings of a problem's images to logits.

    A core is built as ``Core(config, n_features, task, stream)`` and draws each layer's weights from a separate stream.
    It must work under `torch.func.vmap`: no in-place change of inputs, no branches on tensor values.
    """

    def project(self, z_NZ: Tensor) -> Tensor:
        """Maps embeddings before normalisation, image by image; the identity unless a core overrides it."""
        return z_NZ

    def forward(self, z_BTZ: Tensor) -> Tensor:
        """[B, T, Z] -> logits [B, C]."""
        return self.with_penalty(z_BTZ)[0]

    def with_penalty(self, z_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and a scalar that training adds to the cross-entropy; 0 unless a core overrides it."""
        return self(z_BTZ), z_BTZ.new_zeros(())
