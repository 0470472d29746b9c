"""Training of a pack: K networks of one variant, one per seed, with stacked parameters under `torch.func.vmap`.

Legend: K networks, N objects, P problems, B problems of a batch.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import unwrap

import numpy as np
import torch
from torch import Tensor
from torch.func import stack_module_state

from esbn_core import checkpoint
from esbn_core.config import ResolvedTrial
from esbn_core.cuda_graph import CudaGraph
from esbn_core.evaluate import Measure, PackProblems, evaluate, measure, pack_problems
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.position import Position, Rung
from esbn_core.seeding import rng
from esbn_core.tasks.build import build
from esbn_core.tasks.problems import ProblemSets
from esbn_core.vocabulary import CURVE_START, CURVE_STEP

STRETCH = {"cpu": 1, "cuda": 100}  # updates between two reads of the losses; each read makes a GPU wait


@dataclass(frozen=True)
class TrialResult:
    """One trained network, or the record of one that failed."""

    config: ResolvedTrial
    problems: ProblemSets
    network: SequenceClassifier
    curve: list[tuple[int, float, float]]
    """(updates made before, loss in nats, accuracy) on training batches before their update, at `curve_points`."""
    failure: str | None
    tested_after: int
    """Updates made before the one test."""
    test_loss: float | None
    """Mean training objective over test problems (or validation problems) after the last update, in nats; None if the
    network failed."""
    test_accuracy: float | None
    """Fraction of the same problems answered correctly; None if the network failed."""


@dataclass(frozen=True)
class PackResult:
    """The trials of a pack in the order of their configs, and their time over all attempts."""

    trials: list[TrialResult]
    wall_seconds: float
    resumed: int
    rungs: list[Rung]
    """All rungs; the last one is the end of training."""


def train(
    pack: Sequence[ResolvedTrial],
    images_N1HW: np.ndarray,
    *,
    device: str = "cpu",
    resume: bytes | None = None,
    save: Callable[[bytes], None] | None = None,
    save_seconds: float = 60.0,
    on_progress: Callable[[Position], None] | None = None,
    rungs: Sequence[int] = (),
    on_rung: Callable[[Position], None] | None = None,
    stretch: int | None = None,
) -> PackResult:
    """Trains a pack to its last update and tests it once (paper section 4.1).

    Args:
        pack: trials that differ only in their seed.
        images_N1HW: [n_objects, 1, 32, 32] float32 in [0, 1].
        resume: a checkpoint of the same pack; the result then equals that of an unbroken run, bit for bit on CPU.
        save: receives a checkpoint about every `save_seconds`.
        on_progress: called after each stretch of updates that contains a point of the training curve.
        rungs: update counts after which networks with validation problems are measured on them.
        on_rung: called after each rung, once it is in the checkpoint; and at the start, if the checkpoint has rungs.
        stretch: updates between two checks of losses and clock; does not change results; None: by device.
    Returns:
        One result per config. A network whose loss is not finite is marked as failed; the others are not affected.
    """
    started = saved = time.monotonic()
    networks, settings = Networks.of(pack, device), pack[0].train
    assert not rungs or pack[0].task.validation is not None, "test problems are used once, after the last update"
    optimiser = networks.optimiser(settings.learning_rate)
    position = _begin(networks, optimiser, resume)
    started -= position.wall_seconds  # of earlier attempts
    problems, judged = networks.training_problems(images_N1HW), networks.test_problems(images_N1HW)
    n_train = problems.targets_KP.shape[1]

    def step(rows_KB: Tensor) -> tuple[Tensor, Tensor]:
        return train_step(networks, problems.rows(rows_KB), optimiser)

    update = CudaGraph(step, (len(pack), min(n_train, settings.batch_size))) if device == "cuda" else step
    batches = _batches(pack, n_train, position.update, device)
    if position.rungs and on_rung is not None:
        on_rung(position)
    while position.update < settings.updates and len(position.failures) < len(pack):
        ends = [rung for rung in (*rungs, settings.updates) if rung > position.update]
        n_updates = min(stretch or STRETCH[device], min(ends) - position.update)
        made = [update(rows_KB) for rows_KB in itertools.islice(batches, n_updates)]
        _note(position, made, on_progress)
        at_rung = position.update in rungs and position.update < settings.updates
        if at_rung:
            position.rungs.append((position.update, *networks.evaluate(judged)))
        position.wall_seconds = time.monotonic() - started
        if save is not None and (at_rung or time.monotonic() - saved > save_seconds):
            save(checkpoint.dump(networks.parameters, optimiser, position))
            saved = time.monotonic()
        if at_rung and on_rung is not None:
            on_rung(position)
    position.rungs.append((position.update, *networks.evaluate(judged)))
    position.wall_seconds = time.monotonic() - started
    return PackResult(_results(networks, position), position.wall_seconds, position.resumed, position.rungs)


def _begin(networks: "Networks", optimiser: torch.optim.Adam, resume: bytes | None) -> Position:
    """Returns where to start; with a checkpoint, also restores its weights and optimiser state."""
    trial_ids = [config.trial_id() for config in networks.pack]
    if resume is None:
        return Position(trial_ids)
    updates = networks.pack[0].train.updates
    position = checkpoint.restore(resume, networks.parameters, optimiser, trial_ids, updates)
    position.resumed += 1
    return position


def train_step(networks: "Networks", batch: PackProblems, optimiser: torch.optim.Optimizer) -> tuple[Tensor, Tensor]:
    """Takes one optimiser step of every network; returns loss and accuracy from before it, each [K].

    The networks share no parameter, so the gradient of the summed objective is each network's own.
    """
    optimiser.zero_grad(set_to_none=True)
    loss_K, accuracy_K = networks.measured(networks.parameters, networks.buffers, batch)
    loss_K.sum().backward()
    optimiser.step()
    return loss_K.detach(), accuracy_K


@dataclass(frozen=True)
class Networks:
    """The networks of a pack, stacked, and the problems of each."""

    pack: Sequence[ResolvedTrial]
    sets: list[ProblemSets]
    modules: list[SequenceClassifier]
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    measured: Measure
    device: str

    @classmethod
    def of(cls, pack: Sequence[ResolvedTrial], device: str) -> "Networks":
        """Draws problems and initial weights of trials that differ only in their seed."""
        modules = [SequenceClassifier(config).to(device) for config in pack]
        parameters, buffers = stack_module_state([*modules])
        sets = [build(config.task, config.seed) for config in pack]
        return cls(pack, sets, modules, parameters, buffers, measure(modules[0], pack[0].train.precision), device)

    def optimiser(self, learning_rate: float) -> "Adam":
        """Makes Adam over all parameters (paper section 4.1)."""
        graphed = self.device == "cuda"
        return Adam(self.parameters.values(), lr=learning_rate, fused=True, capturable=graphed)

    def training_problems(self, images_N1HW: np.ndarray) -> PackProblems:
        """Returns the training sets with the images of their objects."""
        pools = [s.train_pool for s in self.sets]
        return pack_problems(self.modules, [s.train for s in self.sets], pools, images_N1HW, self.device)

    def test_problems(self, images_N1HW: np.ndarray) -> PackProblems:
        """Returns the test sets (or validation sets) with the images of their objects."""
        pools = [s.test_pool for s in self.sets]
        return pack_problems(self.modules, [s.test for s in self.sets], pools, images_N1HW, self.device)

    def evaluate(self, problems: PackProblems) -> tuple[list[float], list[float]]:
        """Returns mean loss (nats) and accuracy over all problems, one number per network."""
        return evaluate(self.measured, self.parameters, self.buffers, problems)

    def trained(self) -> list[SequenceClassifier]:
        """Returns the modules with their trained parameters."""
        for k, module in enumerate(self.modules):
            for name, parameter in module.named_parameters():
                parameter.data.copy_(self.parameters[name][k].detach())
        return self.modules


class Adam(torch.optim.Adam):
    """Adam without the wrappers that import PyTorch's compiler, which takes seconds; nothing is compiled here."""

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)


def _batches(pack: Sequence[ResolvedTrial], n_train: int, update: int, device: str) -> Iterator[Tensor]:
    """Yields the training problems of each update, starting at `update`, [K, B] each; one stream per seed and epoch."""
    size = pack[0].train.batch_size
    first_epoch, batch = divmod(update, math.ceil(n_train / size))
    for epoch in itertools.count(first_epoch):
        orders = [rng(config.seed, f"batches of epoch {epoch}").permutation(n_train) for config in pack]
        order_KP = torch.from_numpy(np.stack(orders)).to(device)
        for start in range(batch * size, n_train, size):
            yield order_KP[:, start : start + size]
        batch = 0


def _note(
    position: Position, made: list[tuple[Tensor, Tensor]], on_progress: Callable[[Position], None] | None
) -> None:
    """Records the failures and curve points in a stretch of updates, and advances the position."""
    n_points = len(position.curve)
    losses_UK, accuracies_UK = (torch.stack(x).tolist() for x in zip(*made, strict=True))
    for loss_K, accuracy_K in zip(losses_UK, accuracies_UK, strict=True):
        for trial_id, loss in zip(position.trial_ids, loss_K, strict=True):
            if not math.isfinite(loss):
                position.failures.setdefault(trial_id, f"training loss became {loss} at update {position.update}")
        if position.update < CURVE_START or position.update % CURVE_STEP == 0:
            position.curve.append((position.update, loss_K, accuracy_K))
        position.update += 1
    if on_progress is not None and len(position.curve) > n_points:
        on_progress(position)


def _results(networks: Networks, position: Position) -> list[TrialResult]:
    """Returns one result per network; the last rung is the test."""
    results = []
    _, test_losses, test_accuracies = position.rungs[-1]
    for k, network in enumerate(networks.trained()):
        failure = position.failures.get(position.trial_ids[k])
        loss, accuracy = test_losses[k], test_accuracies[k]
        if failure is None and not math.isfinite(loss):
            failure = f"test loss is {loss}"
        curve = [(u, losses[k], accuracies[k]) for u, losses, accuracies in position.curve if math.isfinite(losses[k])]
        test = (loss, accuracy) if failure is None else (None, None)
        results.append(TrialResult(networks.pack[k], networks.sets[k], network, curve, failure, position.update, *test))
    return results
