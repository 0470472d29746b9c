"""Trains a pack: K networks of one variant, a seed each, from stacked parameters under `torch.func.vmap`.

Legend: K networks, N objects, P problems, B problems of a batch.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.func import stack_module_state

from esbn_core import checkpoint
from esbn_core.config import TrialConfig
from esbn_core.cuda_graph import CudaGraph
from esbn_core.evaluate import Measure, PackProblems, evaluate, measure, pack_problems
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.seeding import rng
from esbn_core.tasks.build import build
from esbn_core.tasks.problems import ProblemSets

LOG_EVERY = 10  # updates from one point of a time course to the next
STRETCH = {"cpu": 1, "cuda": 100}  # updates between two looks at what came of them; a GPU waits for each look


@dataclass(frozen=True)
class TrialResult:
    """One trained network, or what is known of one that failed."""

    config: TrialConfig
    problems: ProblemSets
    network: SequenceClassifier
    curve: list[tuple[int, float, float]]
    """(updates made before, loss in nats, accuracy) of every `LOG_EVERY`-th training batch, before its update."""
    failure: str | None
    test_loss: float | None
    """Mean over test problems in nats, after the last update; None if the network failed."""
    test_accuracy: float | None
    """Fraction of test problems; None if the network failed."""


@dataclass(frozen=True)
class PackResult:
    """The trials of a pack in the order of their configs, and what they took over all attempts."""

    trials: list[TrialResult]
    wall_seconds: float
    resumed: int


@dataclass
class Position:
    """How far a pack has come: what a checkpoint holds besides weights and optimiser state."""

    trial_ids: list[str]
    update: int = 0
    curve: list[tuple[int, list[float], list[float]]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """trial_id -> why that network counts as failed from here on."""
    wall_seconds: float = 0.0
    resumed: int = 0


def train(
    pack: Sequence[TrialConfig],
    images_N1HW: np.ndarray,
    *,
    device: str = "cpu",
    resume: bytes | None = None,
    save: Callable[[bytes], None] | None = None,
    save_seconds: float = 60.0,
    on_progress: Callable[[Position], None] | None = None,
    stretch: int | None = None,
) -> PackResult:
    """Trains a pack to its last update and tests it once (paper section 4.1).

    Args:
        pack: resolved configs that differ in nothing but their seed.
        images_N1HW: [n_objects, 1, 32, 32] float32 in [0, 1].
        resume: a checkpoint of this very pack; the result then equals that of an unbroken run, bit for bit on CPU.
        save: takes a checkpoint, about every `save_seconds`.
        on_progress: called after a stretch of updates that holds a point of the time course.
        stretch: updates between two looks at losses, clock and checkpoints; None: as suits the device. It changes no
            result.
    Returns:
        One result per config. A network whose loss is not finite ends as failed and leaves the others alone.
    """
    started = saved = time.monotonic()
    sets = [build(config.task, config.seed) for config in pack]
    networks = [SequenceClassifier(config).to(device) for config in pack]
    parameters, buffers = stack_module_state([*networks])
    settings = pack[0].train
    assert settings.updates is not None and settings.learning_rate is not None
    graphed = device == "cuda"
    optimiser = torch.optim.Adam(parameters.values(), lr=settings.learning_rate, fused=True, capturable=graphed)
    position = Position([config.trial_id() for config in pack])
    if resume is not None:
        position = Position(**checkpoint.restore(resume, parameters, optimiser))
        position.resumed += 1
    measured = measure(networks[0], settings.precision)
    problems = _training_problems(networks, sets, images_N1HW, device)

    n_train, earlier_seconds = problems.targets_KP.shape[1], position.wall_seconds

    def step(rows_KB: Tensor) -> tuple[Tensor, Tensor]:
        return train_step(measured, parameters, buffers, problems.rows(rows_KB), optimiser)

    update = CudaGraph(step, (len(pack), min(n_train, settings.batch_size))) if graphed else step
    batches = _batches(pack, n_train, position.update, device)
    while position.update < settings.updates and len(position.failures) < len(pack):
        n_updates = min(stretch or STRETCH[device], settings.updates - position.update)
        made = [update(rows_KB) for rows_KB in itertools.islice(batches, n_updates)]
        position.wall_seconds = earlier_seconds + time.monotonic() - started
        losses_UK, accuracies_UK = (torch.stack(x).tolist() for x in zip(*made, strict=True))
        _note(position, losses_UK, accuracies_UK, on_progress)
        if save is not None and time.monotonic() - saved > save_seconds:
            save(checkpoint.dump(parameters, optimiser, dataclasses.asdict(position)))
            saved = time.monotonic()

    tested = evaluate(measured, parameters, buffers, _test_problems(networks, sets, images_N1HW, device))
    wall_seconds = earlier_seconds + time.monotonic() - started
    _load_into(networks, parameters)
    return PackResult(_results(pack, sets, networks, position, tested), wall_seconds, position.resumed)


def train_step(
    measured: Measure,
    parameters: dict[str, Tensor],
    buffers: dict[str, Tensor],
    batch: PackProblems,
    optimiser: torch.optim.Optimizer,
) -> tuple[Tensor, Tensor]:
    """One optimiser step of every network; its cross-entropy and accuracy, each [K], from before the step.

    The networks share no parameter, so the gradient of the summed objective is each network's own.
    """
    optimiser.zero_grad(set_to_none=True)
    loss_K, accuracy_K, penalty_K = measured(parameters, buffers, batch)
    (loss_K + penalty_K).sum().backward()
    optimiser.step()
    return loss_K.detach(), accuracy_K


def _training_problems(
    networks: Sequence[SequenceClassifier], sets: Sequence[ProblemSets], images_N1HW: np.ndarray, device: str
) -> PackProblems:
    kept = [np.setdiff1d(np.arange(len(images_N1HW)), s.withheld) for s in sets]
    return pack_problems(networks, [s.train for s in sets], kept, images_N1HW, device)


def _test_problems(
    networks: Sequence[SequenceClassifier], sets: Sequence[ProblemSets], images_N1HW: np.ndarray, device: str
) -> PackProblems:
    pools = [np.sort(s.withheld) if len(s.withheld) else np.arange(len(images_N1HW)) for s in sets]
    return pack_problems(networks, [s.test for s in sets], pools, images_N1HW, device)


def _batches(pack: Sequence[TrialConfig], n_train: int, update: int, device: str) -> Iterator[Tensor]:
    """The training problems of each update from this one on, [K, B] each; a stream per seed and epoch."""
    size = pack[0].train.batch_size
    first_epoch, batch = divmod(update, math.ceil(n_train / size))
    for epoch in itertools.count(first_epoch):
        orders = [rng(config.seed, f"batches of epoch {epoch}").permutation(n_train) for config in pack]
        order_KP = torch.from_numpy(np.stack(orders)).to(device)
        for start in range(batch * size, n_train, size):
            yield order_KP[:, start : start + size]
        batch = 0


def _note(
    position: Position,
    losses_UK: list[list[float]],
    accuracies_UK: list[list[float]],
    on_progress: Callable[[Position], None] | None,
) -> None:
    """Records failures of a stretch of updates, and the points of the time course in it; moves the position on."""
    n_points = len(position.curve)
    for loss_K, accuracy_K in zip(losses_UK, accuracies_UK, strict=True):
        for trial_id, loss in zip(position.trial_ids, loss_K, strict=True):
            if not math.isfinite(loss):
                position.failures.setdefault(trial_id, f"training loss became {loss} at update {position.update}")
        if position.update % LOG_EVERY == 0:
            position.curve.append((position.update, loss_K, accuracy_K))
        position.update += 1
    if on_progress is not None and len(position.curve) > n_points:
        on_progress(position)


def _load_into(networks: Sequence[SequenceClassifier], parameters: dict[str, Tensor]) -> None:
    for k, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            parameter.data.copy_(parameters[name][k].detach())


def _results(
    pack: Sequence[TrialConfig],
    sets: Sequence[ProblemSets],
    networks: Sequence[SequenceClassifier],
    position: Position,
    tested: tuple[list[float], list[float]],
) -> list[TrialResult]:
    results = []
    for k, (config, problems, network) in enumerate(zip(pack, sets, networks, strict=True)):
        failure = position.failures.get(position.trial_ids[k])
        loss, accuracy = tested[0][k], tested[1][k]
        if failure is None and not math.isfinite(loss):
            failure = f"test loss is {loss}"
        points = [(update, losses[k], accuracies[k]) for update, losses, accuracies in position.curve]
        curve = [point for point in points if math.isfinite(point[1])]
        tests = (loss, accuracy) if failure is None else (None, None)
        results.append(TrialResult(config, problems, network, curve, failure, *tests))
    return results
