"""The trainer: packs against lone networks, resumed against unbroken runs, failures, and what it learns."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import stack_module_state
from torch.nn import functional as F

from esbn_core import checkpoint
from esbn_core.config import MODEL_CONFIGS, PAPER, ResolvedTrial
from esbn_core.evaluate import BATCH, measure, pack_problems
from esbn_core.keys import record_keys
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.objects import glyphs
from esbn_core.position import read_position
from esbn_core.seeding import rng
from esbn_core.tasks.build import build
from esbn_core.tasks.problems import Problems
from esbn_core.train import PackResult, TrialResult, train
from esbn_core.vocabulary import CURVE_START, curve_points

IMAGES = glyphs().scale()
SMALL = {"embedding_size": 16, "key_size": 12, "hidden_size": 20}


def pack_of(n: int, **changes: object) -> list[ResolvedTrial]:
    variant = PAPER.with_(**changes).resolve()
    return [replace(variant, seed=seed) for seed in range(n)]


def weights(trial: TrialResult) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trial.network.parameters()])


@pytest.fixture(scope="module")
def three_epochs() -> list[ResolvedTrial]:
    """Three small networks, 36 updates over the 12 batches of distribution of three at m = 95."""
    return pack_of(3, task="distribution_of_three", withheld=95, epochs=3, n_test=1_100, **SMALL)


@pytest.fixture(scope="module")
def unbroken(three_epochs: list[ResolvedTrial]) -> PackResult:
    return train(three_epochs, IMAGES)


@pytest.fixture(scope="module")
def checkpoints(three_epochs: list[ResolvedTrial]) -> list[bytes]:
    """One after every update."""
    saved: list[bytes] = []
    train(three_epochs, IMAGES, save=saved.append, save_seconds=0)
    return saved


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("arm", [{}, {"encoder": "mlp", "confidence": "off"}, {"encoder": "random", "tcn": "none"}])
def test_pack_trains_each_network_as_if_alone(arm: dict[str, str]) -> None:
    beyond_an_epoch = {"task": "distribution_of_three", "withheld": 95, "updates": 14, "n_test": 50}
    pack = pack_of(3, **beyond_an_epoch, **SMALL, **arm)
    for config, trial in zip(pack, train(pack, IMAGES.astype(float)).trials, strict=True):
        (alone,) = train([config], IMAGES.astype(float)).trials
        # Adam divides rounding by its epsilon of 1e-8 where a gradient is nothing else.
        torch.testing.assert_close(weights(trial), weights(alone), rtol=0, atol=1e-5)
        np.testing.assert_allclose(trial.curve, alone.curve, rtol=0, atol=1e-6)
        assert trial.test_accuracy == alone.test_accuracy


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", [name for name in MODEL_CONFIGS if name != "esbn"])
def test_pack_of_a_rival_trains_and_resumes_as_if_alone_and_unbroken(name: str) -> None:
    pack = pack_of(2, task="distribution_of_three", withheld=95, updates=4, n_test=20, encoder="random", model=name)
    saved: list[bytes] = []
    images = IMAGES.astype(float)
    whole = train(pack, images, save=saved.append, save_seconds=0).trials
    resumed = train(pack, images, resume=saved[1]).trials
    (alone,) = train(pack[1:], images).trials
    assert all(trial.failure is None for trial in whole)
    assert torch.equal(weights(whole[1]), weights(resumed[1]))
    torch.testing.assert_close(weights(whole[1]), weights(alone), rtol=0, atol=1e-7)


def test_training_follows_the_gradient_of_cross_entropy_plus_penalty() -> None:
    (config,) = pack_of(1, task="distribution_of_three", withheld=95, n_train=32, updates=1, n_test=10, model="mnm")
    (trial,) = train([config], IMAGES).trials
    network = SequenceClassifier(config)
    start = torch.cat([p.detach().flatten() for p in network.parameters()])
    problems = trial.problems.train
    logits_BC, penalty = network(torch.from_numpy(IMAGES), torch.from_numpy(problems.indices_PT), True)
    entropy = F.cross_entropy(logits_BC, torch.from_numpy(problems.targets_P))
    both, alone = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)])
        for loss in (entropy + penalty, entropy)
    )
    clear = both.abs() > 1e-5  # Adam's first step is the learning rate against the sign of the gradient
    torch.testing.assert_close((weights(trial) - start)[clear], -5e-4 * both[clear].sign(), rtol=0, atol=1e-5)
    assert (both[clear].sign() != alone[clear].sign()).any()


def test_stored_losses_are_what_training_minimises() -> None:
    # The slow way: problem by problem, cross-entropy by hand, and the memory's loss from the core alone.
    (config,) = pack_of(1, task="distribution_of_three", withheld=95, n_train=32, updates=1, n_test=1_010, model="mnm")
    (trial,) = train([config], IMAGES).trials

    def loss_of(network: SequenceClassifier, problems: Problems) -> tuple[float, float]:
        entropies, memories = [], []
        for indices_T, target in zip(*problems, strict=True):
            z_1TZ = network.embed(torch.from_numpy(IMAGES[indices_T]), torch.arange(len(indices_T))[None])
            logits_1C, memory = network.core.with_penalty(z_1TZ)
            entropies.append((logits_1C.exp().sum().log() - logits_1C[0, target]).item())
            memories.append(memory.item())
        return float(np.mean(entropies)), float(np.mean(memories))

    with torch.no_grad():
        before = loss_of(SequenceClassifier(config), trial.problems.train)
        after = loss_of(trial.network, trial.problems.test)
    assert trial.curve[0][1] == pytest.approx(sum(before), rel=1e-4)
    assert trial.test_loss == pytest.approx(sum(after), rel=1e-4)
    assert min(before[1], after[1]) > 0.001  # more than the tolerance


def test_pack_starts_each_network_as_if_alone_in_float32(
    three_epochs: list[ResolvedTrial], unbroken: PackResult
) -> None:
    # Only at first: Adam turns a gradient that is all rounding into a full step, so float32 runs drift apart.
    for config, trial in zip(three_epochs, unbroken.trials, strict=True):
        (alone,) = train([config.with_(updates=1).resolve()], IMAGES).trials
        np.testing.assert_allclose(trial.curve[:1], alone.curve, rtol=0, atol=1e-6)


def test_networks_of_a_pack_differ(unbroken: PackResult) -> None:
    assert not torch.equal(weights(unbroken.trials[0]), weights(unbroken.trials[1]))


@pytest.mark.parametrize("update", [1, 12, 17], ids=["first_update", "end_of_epoch", "within_epoch"])
def test_resumed_pack_equals_an_unbroken_one_bit_for_bit(
    three_epochs: list[ResolvedTrial], unbroken: PackResult, checkpoints: list[bytes], update: int
) -> None:
    resumed = train(three_epochs, IMAGES, resume=checkpoints[update - 1])
    assert resumed.resumed == 1
    for ours, theirs in zip(resumed.trials, unbroken.trials, strict=True):
        assert torch.equal(weights(ours), weights(theirs))
        assert ours.curve == theirs.curve
        assert (ours.test_loss, ours.test_accuracy) == (theirs.test_loss, theirs.test_accuracy)


def test_resumed_pack_adds_up_its_wall_seconds(three_epochs: list[ResolvedTrial], checkpoints: list[bytes]) -> None:
    position = read_position(io.BytesIO(checkpoints[-1]))
    assert train(three_epochs, IMAGES, resume=checkpoints[-1]).wall_seconds > position.wall_seconds > 0


def test_network_with_a_loss_that_is_not_finite_fails_alone(
    three_epochs: list[ResolvedTrial], unbroken: PackResult, checkpoints: list[bytes]
) -> None:
    poisoned = bytearray(checkpoints[11])
    header_size = 8 + int.from_bytes(poisoned[:8], "little")
    entry = json.loads(poisoned[8:header_size])["parameter/core.output.bias_O"]
    first_of_second = header_size + entry["data_offsets"][0] + 4 * 4  # network 1 of [3, 4] float32
    poisoned[first_of_second : first_of_second + 4] = np.finfo(np.float32).max.tobytes()

    first, second, third = train(three_epochs, IMAGES, resume=bytes(poisoned)).trials
    assert second.failure == "training loss became inf at update 12"
    assert second.test_accuracy is None and second.test_loss is None
    assert [point[0] for point in second.curve] == [*range(12)]
    for ours, theirs in ((first, unbroken.trials[0]), (third, unbroken.trials[2])):
        assert ours.failure is None
        assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("cut", [0, 100, -4])
def test_train_refuses_a_checkpoint_that_is_not_whole(
    three_epochs: list[ResolvedTrial], checkpoints: list[bytes], cut: int
) -> None:
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        train(three_epochs, IMAGES, resume=checkpoints[0][:cut])


def test_train_refuses_a_checkpoint_of_other_networks(checkpoints: list[bytes]) -> None:
    with pytest.raises(checkpoint.CheckpointError, match="belongs to trials"):
        train(pack_of(2, task="distribution_of_three", withheld=95, epochs=3, **SMALL), IMAGES, resume=checkpoints[0])


def test_curve_has_every_update_at_first(unbroken: PackResult) -> None:
    assert [point[0] for point in unbroken.trials[0].curve] == [*range(36)]


@pytest.mark.parametrize("updates", [1, 199, 200, 201, 210, 211, 1_234])
def test_curve_points_are_the_first_200_updates_and_every_tenth(updates: int) -> None:
    assert [*curve_points(updates)] == [u for u in range(updates) if u < 200 or u % 10 == 0]


def test_curve_resumed_beyond_its_start_equals_an_unbroken_one() -> None:
    (config,) = pack_of(1, task="same_different", withheld=98, updates=231, n_test=10, encoder="random", **SMALL)
    saved: list[bytes] = []
    whole = train([config], IMAGES, save=saved.append, save_seconds=0).trials[0].curve
    assert [point[0] for point in whole] == [*range(CURVE_START), 200, 210, 220, 230]
    for update in (150, CURVE_START, 205, 211):
        assert train([config], IMAGES, resume=saved[update - 1]).trials[0].curve == whole


def test_curve_starts_at_the_loss_of_a_guess() -> None:
    (trial,) = train(pack_of(1, task="distribution_of_three", withheld=95, updates=1, n_test=10), IMAGES).trials
    assert trial.curve[0][1] == pytest.approx(np.log(4), abs=0.02)


def test_progress_is_told_at_every_point_of_the_curve(three_epochs: list[ResolvedTrial]) -> None:
    seen: list[int] = []
    train(three_epochs, IMAGES, on_progress=lambda position: seen.append(position.curve[-1][0]))
    assert seen == [*range(36)]


@pytest.mark.parametrize("stretch", [7, 100], ids=["within_epochs", "beyond_the_end"])
def test_train_gives_the_same_whatever_the_stretch(
    three_epochs: list[ResolvedTrial], unbroken: PackResult, stretch: int
) -> None:
    for ours, theirs in zip(train(three_epochs, IMAGES, stretch=stretch).trials, unbroken.trials, strict=True):
        assert torch.equal(weights(ours), weights(theirs))
        assert ours.curve == theirs.curve


@pytest.fixture(scope="module")
def between_stretches(three_epochs: list[ResolvedTrial]) -> dict[int, bytes]:
    """Checkpoints by their update."""
    saved: list[bytes] = []
    train(three_epochs, IMAGES, stretch=7, save=saved.append, save_seconds=0)
    return {read_position(io.BytesIO(data)).update: data for data in saved}


@pytest.mark.parametrize("resumed_at", [7, 14, 21, 28, 35])
def test_train_resumes_between_stretches(
    three_epochs: list[ResolvedTrial], unbroken: PackResult, between_stretches: dict[int, bytes], resumed_at: int
) -> None:
    resumed = train(three_epochs, IMAGES, stretch=7, resume=between_stretches[resumed_at])
    assert torch.equal(weights(resumed.trials[2]), weights(unbroken.trials[2]))
    assert resumed.trials[2].curve == unbroken.trials[2].curve


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_train_on_a_gpu_agrees_with_the_cpu_at_first(three_epochs: list[ResolvedTrial], unbroken: PackResult) -> None:
    for ours, theirs in zip(train(three_epochs, IMAGES, device="cuda").trials, unbroken.trials, strict=True):
        np.testing.assert_allclose(ours.curve[0], theirs.curve[0], rtol=0, atol=1e-4)
        np.testing.assert_allclose(ours.curve[-1], theirs.curve[-1], rtol=0, atol=0.3)


def test_test_accuracy_is_the_mean_over_problems_when_the_last_batch_is_smaller(unbroken: PackResult) -> None:
    trial = unbroken.trials[1]
    assert len(trial.problems.test.targets_P) % BATCH != 0
    with torch.no_grad():
        indices = torch.from_numpy(trial.problems.test.indices_PT).split(100)
        logits = [trial.network(torch.from_numpy(IMAGES), indices_BT) for indices_BT in indices]
    logits_PC, targets_P = torch.cat(logits), torch.from_numpy(trial.problems.test.targets_P)
    assert trial.test_accuracy == pytest.approx((logits_PC.argmax(-1) == targets_P).double().mean().item(), abs=1e-9)
    assert trial.test_loss == pytest.approx(F.cross_entropy(logits_PC, targets_P).item(), rel=1e-4)


def test_same_problems_and_batches_in_every_arm() -> None:
    settings = {"withheld": 95, "updates": 1, "n_test": 20}
    (first,), (second,) = (
        train(pack_of(1, **settings, **arm), IMAGES).trials for arm in ({}, {"encoder": "mlp", "confidence": "off"})
    )
    assert np.array_equal(first.problems.train.indices_PT, second.problems.train.indices_PT)
    assert np.array_equal(first.problems.test.indices_PT, second.problems.test.indices_PT)


def test_record_keys_follows_the_trained_network(unbroken: PackResult) -> None:
    trial = unbroken.trials[0]
    steps = list(record_keys(trial.network, IMAGES, trial.problems.train))
    assert [step.step for step in steps] == list(range(1, 10))
    assert steps[0].reads_PK is None
    for step in steps:
        assert step.keys_PK.shape == (360, 12)
        assert np.array_equal(step.objects_P, trial.problems.train.indices_PT[:, step.step - 1])
    second = steps[1]
    assert second.reads_PK is not None and second.gates_P is not None
    np.testing.assert_allclose(second.reads_PK, second.gates_P[:, None] * steps[0].keys_PK, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "accuracy"),
    [
        ({}, 1.0),
        ({"encoder": "mlp"}, 1.0),
        ({"encoder": "random"}, 1.0),
        ({"confidence": "default_memory"}, 1.0),
        ({"tcn": "none"}, 0.5),
        ({"confidence": "off"}, 0.5),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_same_different_from_two_objects_is_solved_or_not_as_published(arm: dict[str, str], accuracy: float) -> None:
    result = train(pack_of(2, withheld=98, n_test=1_000, **arm), IMAGES)
    for trial in result.trials:
        assert trial.test_accuracy == pytest.approx(accuracy, abs=0.02 if accuracy < 1 else 0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("arm", [{}, {"encoder": "mlp"}, {"model": "corelnet", "variant": "asymmetric"}])
def test_rows_encode_the_objects_they_show_alone_and_change_nothing(arm: dict[str, str]) -> None:
    pack = pack_of(2, task="same_different", n_train=200, n_test=20, updates=1, **arm)
    sets, networks = [build(c.task, c.seed) for c in pack], [SequenceClassifier(c) for c in pack]
    parameters, buffers = stack_module_state([*networks])
    all_objects = [np.arange(100)] * 2
    whole = pack_problems(networks, [s.train for s in sets], all_objects, IMAGES.astype(float), "cpu")
    rows_KB = torch.from_numpy(np.stack([rng(c.seed, "any").permutation(200)[:32] for c in pack]))
    some = whole.rows(rows_KB)
    network_K1 = torch.arange(2)[:, None]
    plain = whole._replace(
        indices_KPT=whole.indices_KPT[network_K1, rows_KB], targets_KP=whole.targets_KP[network_K1, rows_KB]
    )
    n_shown = max(len(np.unique(s.train.indices_PT[rows])) for s, rows in zip(sets, rows_KB.numpy(), strict=True))
    assert some.objects_KNX.shape[1] == n_shown < 100
    for ours, theirs in zip(*(measure(networks[0])(parameters, buffers, b) for b in (some, plain)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_frozen_encoder_encodes_once_what_its_network_would_encode() -> None:
    pack = pack_of(2, withheld=95, n_test=20, encoder="random")
    networks = [SequenceClassifier(config) for config in pack]
    sets = [build(config.task, config.seed) for config in pack]
    pools = [np.setdiff1d(np.arange(100), s.withheld) for s in sets]
    problems = pack_problems(networks, [s.train for s in sets], pools, IMAGES, "cpu")
    assert problems.objects_KNX.shape == (2, 5, 128)
    for network, pool, problem_set, objects_NZ in zip(networks, pools, sets, problems.objects_KNX, strict=True):
        ours = network(objects_NZ, torch.from_numpy(np.searchsorted(pool, problem_set.train.indices_PT)))
        theirs = network(torch.from_numpy(IMAGES), torch.from_numpy(problem_set.train.indices_PT))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("model", MODEL_CONFIGS)
def test_bf16_starts_near_float32_and_keeps_weights_in_float32(model: str) -> None:
    losses = []
    for precision in ("float32", "bf16"):
        sizes = {"n_train": 64, "n_test": 20}
        pack = pack_of(1, task="rmts", withheld=95, updates=1, model=model, precision=precision, **sizes)
        (trial,) = train(pack, IMAGES).trials
        assert all(p.dtype == torch.float32 for p in trial.network.parameters())
        losses.append(trial.curve[0][1])
    assert losses[0] != losses[1] or model == "esbn"  # the ESBN's logits are all but 0 at the start
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


TRAIN_EVERY_MODEL = """
import sys
from esbn_core.config import MODEL_CONFIGS, PAPER
from esbn_core.objects import glyphs
from esbn_core.train import train

arms = [{"model": name} for name in MODEL_CONFIGS] + [{"precision": "bf16"}, {"tcn": "none"}, {"leak": 0.1}]
for arm in arms:
    saved = []
    variant = [PAPER.with_(task="rmts", withheld=95, updates=1, n_test=20, **arm).resolve()]
    train(variant, glyphs().scale(), save=saved.append, save_seconds=0)
    train(variant, glyphs().scale(), resume=saved[-1])
print({"torch", "torch._dynamo", "sympy"} & {*sys.modules})
"""


@pytest.mark.slow
def test_training_does_not_load_the_compiler_of_pytorch() -> None:
    """Each worker would spend seconds on it before its first update."""
    done = subprocess.run([sys.executable, "-c", TRAIN_EVERY_MODEL], capture_output=True, text=True, check=True)
    assert done.stdout == "{'torch'}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "updates", "precision", "sizes"),
    [
        ("distribution_of_three", 450, "float32", {}),  # of the paper's 1,800; at 100 % in training from update 100 on
        ("same_different", 120, "bf16", {"n_test": 500}),  # a CPU without instructions for bf16 takes 18 times as long
    ],
)
def test_esbn_generalises_from_five_objects(task: str, updates: int, precision: str, sizes: dict[str, int]) -> None:
    pack = pack_of(1, task=task, withheld=95, updates=updates, precision=precision, **sizes)
    (trial,) = train(pack, IMAGES).trials
    assert trial.test_accuracy is not None and trial.test_accuracy >= 0.97
