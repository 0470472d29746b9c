"""Speed of training and testing a pack on this machine, measured with the real trainer."""

import dataclasses
import statistics
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from esbn_core.config import TrialConfig
from esbn_core.train import train
from esbn_core.vocabulary import CURVE_STEP

MEASURED = 2  # stretches of CURVE_STEP updates, after one to warm up
TESTED = 1_000  # problems

PACK_SIZES = (1, 2, 4, 7, 10, 20, 50, 100)
RISE = 0.1  # smallest relative gain in updates per second that justifies a larger pack


class Speed(NamedTuple):
    """Seconds of one process for a whole pack."""

    update_seconds: float
    test_seconds: float
    """For one problem of each network."""


def measure_speed(
    config: TrialConfig, images_N1HW: np.ndarray, *, pack_size: int = 1, threads: int = 1, device: str = "cpu"
) -> Speed:
    """Trains a pack of this variant for about 30 updates and tests it.

    Args:
        config: the variant; its updates, test problems and seed are ignored.
    """
    torch.set_num_threads(threads)
    short = config.with_(n_test=None, updates=(1 + MEASURED) * CURVE_STEP, epochs=None).resolve()
    n_test = min(TESTED, short.task.n_test) // short.task.spec.multiple * short.task.spec.multiple
    short = short.with_(n_test=n_test).resolve()
    stamps: list[float] = []
    pack = [dataclasses.replace(short, seed=k) for k in range(pack_size)]
    train(pack, images_N1HW, device=device, stretch=CURVE_STEP, on_progress=lambda _: stamps.append(perf_counter()))
    ended = perf_counter()
    return Speed(statistics.median(np.diff(stamps).tolist()) / CURVE_STEP, (ended - stamps[-1]) / n_test)


def best_pack(
    config: TrialConfig, images_N1HW: np.ndarray, largest: int, *, threads: int = 1, device: str = "cpu"
) -> int:
    """Returns the last pack size that still raises total updates per second by at least a tenth over the size before.

    Args:
        largest: largest size to try; the device's memory may end the trials earlier.
    """
    best, rate = 1, 0.0
    for size in (n for n in PACK_SIZES if n <= largest):
        try:
            speed = measure_speed(config, images_N1HW, pack_size=size, threads=threads, device=device)
        except torch.OutOfMemoryError:
            break
        if size / speed.update_seconds < (1 + RISE) * rate:
            break
        best, rate = size, size / speed.update_seconds
    return best
