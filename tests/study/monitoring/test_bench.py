"""Measuring speed: what counts as work, when packs stop to pay, what a job costs, and that memory does not grow."""

import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from esbn_core import speed
from esbn_core.bench import Ceilings, bench, measure_ceilings, update_flops
from esbn_core.config import PAPER
from esbn_core.objects import glyphs
from esbn_core.speed import Speed, best_pack
from esbn_core.train import STRETCH, Networks, Position, train
from study.cli.main import main
from study.monitoring.bench import job_seconds

IMAGES = glyphs().scale()


def test_update_flops_are_those_counted_by_hand() -> None:
    config = PAPER.with_(task="same_different", withheld=95, model="corelnet", encoder="random", tcn="none")
    # A frozen encoder and no TCN: no gradient flows to the embeddings, so none is computed for the similarities.
    similarities = 2 * 32 * 2 * 2 * 128
    hidden, output = 2 * 32 * 3 * 256, 2 * 32 * 256 * 2
    assert update_flops(config, IMAGES) == similarities + 2 * hidden + 3 * output


def test_update_flops_grow_with_the_batch() -> None:
    config = PAPER.with_(task="distribution_of_three", withheld=50, model="transformer", encoder="random")
    small, large = (update_flops(config.with_(batch_size=size), IMAGES) for size in (16, 64))
    assert large == 4 * small


@pytest.mark.slow
def test_bench_finds_the_slow_way_slower_and_no_time_below_the_floor() -> None:
    config = PAPER.with_(task="distribution_of_three", withheld=95).resolve()
    row = bench(config, IMAGES, pack_size=1, threads=1, device="cpu", ceilings=measure_ceilings("cpu", 1, "float32"))
    assert row.slow_ratio is not None and row.slow_ratio_library_convolution is not None
    assert row.slow_ratio > row.slow_ratio_library_convolution > 1
    assert row.gap > 0.8  # the ceilings are measured, too
    assert row.network_updates_per_second == pytest.approx(1 / row.update_seconds)
    assert 0 < row.build_seconds < 10 * row.update_seconds


def test_bench_has_no_slow_way_for_other_models() -> None:
    ceilings = Ceilings(1e12, 1e12)
    config = PAPER.with_(task="distribution_of_three", withheld=95, model="corelnet", encoder="random").resolve()
    row = bench(config, IMAGES, pack_size=2, threads=1, device="cpu", ceilings=ceilings)
    assert row.slow_ratio is None
    assert row.arithmetic_seconds == pytest.approx(2 * update_flops(config, IMAGES) / 1e12)
    (network,) = Networks.of([config], "cpu").modules
    assert row.memory_seconds == pytest.approx(2 * sum(p.numel() for p in network.parameters()) * 40 / 1e12)


def test_speed_is_measured_where_losses_are_looked_at_once_in_a_hundred_updates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(STRETCH, "cpu", STRETCH["cuda"])
    config = PAPER.with_(task="same_different", withheld=98, model="corelnet", encoder="random")
    found = speed.measure_speed(config, IMAGES)
    assert found.update_seconds > 0 and found.test_seconds > 0


@pytest.mark.parametrize(
    ("rates", "largest", "best"),
    [
        ({1: 10, 2: 19, 4: 30, 7: 32, 10: 99}, 100, 4),  # 7 gains less than a tenth, so 10 is not tried
        ({1: 10, 2: 10}, 100, 1),
        ({1: 10, 2: 20, 4: 40, 7: 70, 10: 100}, 10, 10),
        ({1: 10, 2: 20, 4: 40}, 3, 2),
        ({1: 10, 2: 20, 4: 0}, 100, 2),  # 0: out of memory
    ],
)
def test_best_pack_grows_while_a_tenth_is_gained(
    monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], largest: int, best: int
) -> None:
    def measured(config: object, images: object, *, pack_size: int, threads: int, device: str) -> Speed:
        if rates[pack_size] == 0:
            raise torch.OutOfMemoryError
        return Speed(pack_size / rates[pack_size], 0.0)

    monkeypatch.setattr(speed, "measure_speed", measured)
    assert best_pack(PAPER, IMAGES, largest) == best


@pytest.mark.slow
def test_bench_prints_a_table_and_json() -> None:
    arguments = ["bench", "--model", "corelnet", "--withheld", "95"]
    printed = CliRunner().invoke(main, arguments)
    assert printed.exit_code == 0, printed.output
    assert "corelnet" in printed.stdout and "gap" in printed.stdout
    (row,) = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["rows"]
    assert row["gap"] == pytest.approx(row["update_seconds"] / max(row["arithmetic_seconds"], row["memory_seconds"]))


def test_bench_refuses_a_model_there_is_not() -> None:
    result = CliRunner().invoke(main, ["bench", "--model", "esbm"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: model='esbm' is unknown")


def worker_start_seconds() -> float:
    """Seconds of a new Python until it has imported what a worker imports."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import study.running.worker"], check=True)
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.alone
def test_a_job_costs_beside_its_training_less_than_a_quarter_of_the_start_of_a_worker() -> None:
    # what else the machine does slows both, but may spoil one measurement
    assert any(job_seconds(60) < worker_start_seconds() / 4 for _ in range(3))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see its memory")
@pytest.mark.parametrize("arm", [{}, {"model": "mnm"}], ids=["esbn", "mnm"])
def test_training_does_not_grow_in_memory(arm: dict[str, Any]) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # other tests leave this process large
        sizes = fresh.submit(sizes_in_training, arm).result()
    assert len(sizes) == 31
    assert max(sizes[20:]) - sizes[10] < 2e6  # bytes, over 200 updates


def sizes_in_training(arm: dict[str, Any]) -> list[int]:
    """Bytes of this process at every tenth update."""
    torch.set_num_threads(1)
    sizes: list[int] = []

    def note(position: Position) -> None:
        if position.curve[-1][0] % 10 == 0:
            sizes.append(resident_bytes())

    config = PAPER.with_(task="distribution_of_three", withheld=95, updates=301, n_test=10, encoder="random", **arm)
    train([config.with_(hidden_size=64, batch_size=8).resolve()], IMAGES, on_progress=note)
    return sizes
