"""Image encoders: [N, 1, 32, 32] -> [N, Z], a ReLU after every layer, the last included (paper section 3.3).

Legend: N images, Z embedding, I inputs, O outputs.
"""

import itertools
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esbn_core.models.layers import Linear, draw
from esbn_core.objects import SIZE
from esbn_core.seeding import Stream


class ConvEncoder(nn.Module):
    """Three convolutions (32 channels, kernel 4, stride 2), flattened -> 256 -> Z.

    The released code has a padding of 1, which leaves 4 x 4 of 32 x 32 pixels. The paper's text names no padding, which
    leaves 2 x 2.
    """

    def __init__(self, n_features: int, stream: Stream, padding: int = 1):
        super().__init__()
        self.padding = padding
        n_flat = 32 * (4 if padding else 2) ** 2
        generator = stream("encoder kernels")
        self.kernels = nn.ParameterList(
            draw(n_channels * 16, 32, "relu", generator).T.reshape(32, n_channels, 4, 4) for n_channels in (1, 32, 32)
        )
        self.biases = nn.ParameterList(torch.zeros(32) for _ in range(3))
        self.layers = _layers((n_flat, 256, n_features), stream)

    def forward(self, x_N1HW: Tensor) -> Tensor:
        x = x_N1HW
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = F.relu(F.conv2d(x.to(kernel.dtype), kernel, bias.to(kernel.dtype), stride=2, padding=self.padding))
        return self.layers(x.flatten(1))


class MLPEncoder(nn.Module):
    """1,024 -> 512 -> 256 -> Z."""

    def __init__(self, n_features: int, stream: Stream):
        super().__init__()
        self.layers = _layers((SIZE * SIZE, 512, 256, n_features), stream)

    def forward(self, x_N1HW: Tensor) -> Tensor:
        return self.layers(x_N1HW.flatten(1))


class RandomEncoder(nn.Module):
    """1,024 -> Z, drawn once per network and never trained, so its weights are a buffer."""

    weight_IO: Tensor

    def __init__(self, n_features: int, stream: Stream):
        super().__init__()
        self.register_buffer("weight_IO", draw(SIZE * SIZE, n_features, "relu", stream("encoder layers")))

    def forward(self, x_N1HW: Tensor) -> Tensor:
        return F.relu(x_N1HW.flatten(1) @ self.weight_IO)


def _layers(sizes: tuple[int, ...], stream: Stream) -> nn.Sequential:
    generator = stream("encoder layers")
    linear = [Linear(draw(n_in, n_out, "relu", generator)) for n_in, n_out in itertools.pairwise(sizes)]
    return nn.Sequential(*(part for layer in linear for part in (layer, nn.ReLU())))


ENCODERS = {
    "conv": ConvEncoder,
    "mlp": MLPEncoder,
    "random": RandomEncoder,
    "conv_unpadded": partial(ConvEncoder, padding=0),
}
