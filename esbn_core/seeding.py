"""One named random stream per purpose, derived from the seed: adding a stream never shifts another.

A stream depends only on seed and purpose. So all arms of a study have the same split, problems and batches at a seed,
and the same initial weights in the parts they share.
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
"""Purpose -> stream of one seed; each layer's weights come from a separate stream."""
