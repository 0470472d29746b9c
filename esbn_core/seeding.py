"""One named random stream per purpose, derived from the seed: adding a stream never shifts another.

The streams depend on nothing but seed and purpose, so every arm of a study that asks for the same purpose gets the
same split, problems, batches and, for parts it shares, initial weights.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch


def rng(seed: int, purpose: str) -> np.random.Generator:
    """Returns a NumPy stream for one purpose, e.g. ``rng(0, "split")``."""
    words = np.frombuffer(hashlib.sha256(purpose.encode()).digest(), dtype=np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def torch_rng(seed: int, purpose: str) -> torch.Generator:
    """Returns a torch CPU stream for one purpose, e.g. ``torch_rng(0, "encoder weights")``."""
    return torch.Generator().manual_seed(int(rng(seed, purpose).integers(2**63)))


Stream = Callable[[str], torch.Generator]
"""Purpose -> stream of one seed; networks draw each layer's weights from a stream of its own."""
