"""Training speed of this machine, compared with the slow implementation and the hardware limit."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from esbn_core import reference
from esbn_core.config import ESBNConfig, ResolvedTrial, TrialConfig
from esbn_core.speed import measure_speed
from esbn_core.tasks.build import build
from esbn_core.train import Networks, train_step

BYTES_PER_PARAMETER = 4 * (2 + 1 + 4 + 3)  # read twice, gradient written; Adam reads 4 and writes 3 of its size
WARM_UP, MEASURED = 2, 5  # updates of the slow implementation


@dataclass(frozen=True)
class Ceilings:
    """Measured best rates of the device."""

    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Row:
    """One line of the benchmark; seconds are those of one process for the whole pack."""

    model: str
    task: str
    withheld: int
    pack: int
    device: str
    precision: str
    threads: int
    network_updates_per_second: float
    update_seconds: float
    arithmetic_seconds: float
    """Lower bound for an update: its matrix products at the measured ceiling."""
    memory_seconds: float
    """Lower bound for an update: reading and writing weights, gradients and moments at the measured ceiling."""
    test_seconds_per_problem: float
    build_seconds: float
    """Drawing the split and the problems of one trial."""
    slow_ratio: float | None
    """Time of the reference implementation over ours, one network each; None if the model has no reference."""
    slow_ratio_library_convolution: float | None
    """The same with the library's convolution in the reference."""

    @property
    def gap(self) -> float:
        """Measured time over the larger of the two floors."""
        return self.update_seconds / max(self.arithmetic_seconds, self.memory_seconds)


def bench(
    config: ResolvedTrial, images_N1HW: np.ndarray, *, pack_size: int, threads: int, device: str, ceilings: Ceilings
) -> Row:
    """Measures one variant; ignores its seed, updates and test problems."""
    speed = measure_speed(config, images_N1HW, pack_size=pack_size, threads=threads, device=device)
    pack = [dataclasses.replace(config, seed=seed) for seed in range(pack_size)]
    slow = [None, None]
    if _has_reference(config):
        one = speed if pack_size == 1 else measure_speed(config, images_N1HW, threads=threads, device=device)
        slow = [slow_update_seconds(config, images_N1HW, c, device) / one.update_seconds for c in (None, _convolve)]
    n_parameters = sum(p.numel() for p in Networks.of(pack[:1], "cpu").parameters.values())
    return Row(
        model=config.model.name,
        task=config.task.name,
        withheld=config.task.withheld,
        pack=pack_size,
        device=device,
        precision=config.train.precision,
        threads=threads,
        network_updates_per_second=pack_size / speed.update_seconds,
        update_seconds=speed.update_seconds,
        arithmetic_seconds=pack_size * update_flops(config, images_N1HW) / ceilings.flops_per_second,
        memory_seconds=pack_size * n_parameters * BYTES_PER_PARAMETER / ceilings.bytes_per_second,
        test_seconds_per_problem=speed.test_seconds,
        build_seconds=_median_seconds(lambda: build(config.task, config.seed), 3),
        slow_ratio=slow[0],
        slow_ratio_library_convolution=slow[1],
    )


def measure_ceilings(device: str, threads: int, precision: str) -> Ceilings:
    """Measures the best rates of a product of two square matrices and of a copy that exceeds all caches."""
    torch.set_num_threads(threads)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    large = torch.empty(2**26, device=device)
    other = torch.empty_like(large)
    product = _median_seconds(lambda: torch.mm(a, b), 9, device)
    copy = _median_seconds(lambda: other.copy_(large), 5, device)
    return Ceilings(2 * size**3 / product, 2 * large.numel() * large.element_size() / copy)


def update_flops(config: TrialConfig, images_N1HW: np.ndarray) -> int:
    """Counts floating point operations of the products in one update of one network, backward pass included."""
    networks = Networks.of([dataclasses.replace(config.resolve(), seed=0)], "cpu")
    problems = networks.training_problems(images_N1HW)
    batch = problems.rows(torch.arange(min(config.train.batch_size, problems.targets_KP.shape[1]))[None])
    with FlopCounterMode(display=False) as counter:
        train_step(networks, batch, torch.optim.SGD(networks.parameters.values(), lr=0.0))
    return counter.get_total_flops()


def slow_update_seconds(
    config: ResolvedTrial, images_N1HW: np.ndarray, convolve: reference.Convolve | None, device: str = "cpu"
) -> float:
    """Seconds per update of the reference implementation, with PyTorch's default Adam."""
    problems = build(config.task, config.seed).train
    parameters = _reference_parameters(config.task.spec.n_choices, device)
    optimiser = torch.optim.Adam(parameters.values(), lr=5e-4)
    images = torch.from_numpy(images_N1HW).to(device)
    windows = [range(1, config.task.spec.n_steps + 1)]
    seconds = []
    for _ in range(WARM_UP + MEASURED):
        rows = slice(0, config.train.batch_size)
        indices_BT, targets_B = (torch.from_numpy(x[rows]).to(device) for x in problems)
        started = time.perf_counter()
        optimiser.zero_grad()
        run = reference.run(
            parameters, images[indices_BT], encoder="conv", windows=windows, confidence="on", convolve=convolve
        )
        F.cross_entropy(run.logits_BC, targets_B).backward()
        optimiser.step()
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[WARM_UP:])


def _has_reference(config: ResolvedTrial) -> bool:
    """Returns whether the config is the paper's ESBN with one TCN window, the one that the reference is timed for."""
    return (config.model, config.encoder, config.tcn) == (ESBNConfig(), "conv", "sequence")


def _reference_parameters(n_choices: int, device: str) -> dict[str, Tensor]:
    """Random weights of the paper's sizes, named as in the equations; their values hardly affect the time."""
    shapes: dict[str, tuple[int, ...]] = {
        **{"E1": (32, 1, 4, 4), "E2": (32, 32, 4, 4), "E3": (32, 32, 4, 4), "E4": (256, 512), "E5": (128, 256)},
        **{"W_x": (2048, 257), "W_h": (2048, 512), "W_k": (256, 512), "w_g": (1, 512), "W_y": (n_choices, 512)},
    }
    biases = {"e1": 32, "e2": 32, "e3": 32, "e4": 256, "e5": 128, "b_x": 2048, "b_h": 2048, "b_k": 256, "b_g": 1}
    drawn = {name: torch.randn(shape) / math.sqrt(math.prod(shape[1:])) for name, shape in shapes.items()}
    zeros = {name: torch.zeros(size) for name, size in {**biases, "b_y": n_choices, "beta": 128}.items()}
    others = {"gamma": torch.ones(128), "a": torch.ones(()), "b": torch.zeros(())}
    return {name: x.to(device).requires_grad_() for name, x in {**drawn, **zeros, **others}.items()}


def _convolve(x_NIHW: Tensor, weight_OI44: Tensor, bias_O: Tensor, padding: int) -> Tensor:
    return F.conv2d(x_NIHW, weight_OI44, bias_O, stride=2, padding=padding)


def _median_seconds(work: Callable[[], object], times: int, device: str = "cpu") -> float:
    seconds: list[float] = []
    for _ in range(times + 1):
        started = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
