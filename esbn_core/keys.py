"""Keys that a trained ESBN writes to and reads from its memory, problem by problem (paper section 5.4, Figure 9).

Legend: P problems, K key, S memory entries at a step.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from esbn_core.evaluate import BATCH
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.esbn import ESBN
from esbn_core.tasks.problems import Problems


class KeyStep(NamedTuple):
    """One step of all problems of a set, as float32 NumPy arrays; there is no read at step 1."""

    step: int
    """t, from 1."""
    objects_P: np.ndarray
    keys_PK: np.ndarray
    reads_PK: np.ndarray | None
    """Gated, without confidence."""
    gates_P: np.ndarray | None
    weights_PS: np.ndarray | None


@torch.no_grad()
def record_keys(network: SequenceClassifier, images_N1HW: np.ndarray, problems: Problems) -> Iterator[KeyStep]:
    """Runs a trained ESBN on problems over all objects and yields its memory step by step."""
    core = network.core
    assert isinstance(core, ESBN), "only an ESBN has keys"
    objects_N1HW = torch.from_numpy(images_N1HW)
    network = network.cpu()
    batches = torch.from_numpy(problems.indices_PT).split(BATCH)
    traces = [(len(batch), core.trace(network.embed(objects_N1HW, batch))) for batch in batches]
    n_key = core.key.bias_O.shape[0]

    def joined(parts: list[Tensor]) -> np.ndarray:
        return torch.cat([x.expand(size, -1) for (size, _), x in zip(traces, parts, strict=True)]).numpy()

    for t in range(problems.indices_PT.shape[1]):
        steps = [steps[t] for _, steps in traces]
        reads = [step.read for step in steps if step.read is not None]
        yield KeyStep(
            t + 1,
            problems.indices_PT[:, t],
            joined([step.key_BK for step in steps]),
            joined([read.vector_BR[:, :n_key] for read in reads]) if reads else None,
            joined([read.gate_B1 for read in reads])[:, 0] if reads else None,
            joined([read.weights_BS for read in reads]) if reads else None,
        )
