"""A training step on a GPU, replayed as one CUDA graph to avoid the launch cost of its kernels.

Legend: K networks, B problems of a batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor], tuple[Tensor, Tensor]]

WARM_UP = 3  # updates before the capture, in which libraries and the optimiser allocate their buffers


class CudaGraph:
    """Makes the same updates as the step it wraps, replayed from a CUDA graph if the batch has the usual size.

    The first updates, and batches of another size (the last of an epoch), run without the graph. Capturing makes no
    update.
    """

    def __init__(self, step: Step, shape: tuple[int, int]):
        """Args:
        step: problems to train on, [K, B] int64 on the GPU -> loss and accuracy, [K] each.
        shape: the usual K and B.
        """
        self._step, self._shape = step, shape
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, rows_KB: Tensor) -> tuple[Tensor, Tensor]:
        """One update: loss and accuracy, [K] each."""
        if rows_KB.shape != self._shape:
            return self._step(rows_KB)
        if self._warm < WARM_UP:
            self._warm += 1
            return self._on_side_stream(rows_KB)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self._rows_KB = rows_KB.clone()
            with torch.cuda.graph(self._graph):
                self._loss_K, self._accuracy_K = self._step(self._rows_KB)
        self._rows_KB.copy_(rows_KB)
        self._graph.replay()
        return self._loss_K.clone(), self._accuracy_K.clone()

    def _on_side_stream(self, rows_KB: Tensor) -> tuple[Tensor, Tensor]:
        """Runs as in the capture: gradients accumulate on the stream that first made them."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            made = self._step(rows_KB)
        torch.cuda.current_stream().wait_stream(side)
        return made
