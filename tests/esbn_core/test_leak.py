"""The ESBN with a path past its memory: closed, bounded, penalised, and measured after training.

That its logits and gradients are those of the equations is tested in test_models.py.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from networks import (
    LEAK_ARMS,
    PROBLEMS,
    TARGETS,
    assert_drawn,
    config,
    forward,
    largest,
    memory,
    objects,
    perturbed,
    reference_run,
    unbounded_rms,
)
from torch import Tensor

from esbn_core import leaks
from esbn_core.config import PAPER, ESBNConfig, ResolvedTrial, arm_label
from esbn_core.counts import SPECS
from esbn_core.errors import ConfigError
from esbn_core.leaks import LeakMeasures, measure_leak
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.leak import Leak
from esbn_core.seeding import torch_rng
from esbn_core.tasks.problems import Problems

PLACES = ("controller", "key", "output")
ONE_STEP = dataclasses.replace(SPECS["same_different"], n_steps=1)

each_place = pytest.mark.parametrize("place", PLACES)


def leaky(place: str, leak: float | str = 0.7, **changes: Any) -> ResolvedTrial:
    """A small network of rmts without TCN, behind which the mean embedding is the same for every problem."""
    settings = {"tcn": "none", "encoder": "mlp", "leak": leak, "leak_into": place, **changes}
    return config("rmts", small=True, **settings)


def without_leak(trial: ResolvedTrial) -> ResolvedTrial:
    return trial.with_(leak=0, leak_into="controller", leak_penalty=0, leak_bound=False).resolve()


def with_leak_closed(network: SequenceClassifier, trial: ResolvedTrial) -> SequenceClassifier:
    """The plain ESBN with the weights of a leaky one."""
    plain = SequenceClassifier(without_leak(trial)).double()
    plain.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if "leak" not in name})
    return plain


def leak_of(network: SequenceClassifier) -> Leak:
    leak = memory(network).leak
    assert leak is not None
    return leak


# No leak


def test_leak_of_zero_adds_no_parameter() -> None:
    assert not any("leak" in name for name in SequenceClassifier(config("rmts", leak=0)).state_dict())


def test_leak_of_zero_gives_the_logits_of_the_plain_reference() -> None:
    trial = leaky("controller", 0)
    network = perturbed(trial)
    run, _ = reference_run(network, trial)
    assert not run.leaked
    torch.testing.assert_close(forward(network, "rmts"), run.logits_BC, rtol=0, atol=1e-9)


@pytest.mark.parametrize("arm", LEAK_ARMS, ids=arm_label)
def test_leaky_esbn_starts_with_the_papers_weights_beside_the_leak(arm: dict[str, Any]) -> None:
    state = SequenceClassifier(config("rmts", 7, **arm)).state_dict()
    paper = SequenceClassifier(config("rmts", 7)).state_dict()
    rho = {"core.leak.rho"} if arm["leak"] == "learned" else set()
    assert state.keys() - paper.keys() == {"core.leak.map.weight_IO"} | rho
    for name, tensor in paper.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("arm", LEAK_ARMS, ids=arm_label)
def test_leak_through_a_map_of_zeros_leaves_the_plain_logits(arm: dict[str, Any]) -> None:
    trial = config("rmts", small=True, tcn="none", **arm)
    network = perturbed(trial)
    before_BC = forward(network, "rmts")
    with torch.no_grad():
        leak_of(network).map.weight_IO.zero_()
    plain_BC = forward(with_leak_closed(network, trial), "rmts")
    torch.testing.assert_close(forward(network, "rmts"), plain_BC, rtol=0, atol=1e-12)
    assert largest(before_BC - plain_BC) > 1e-3


# Initial weights


@pytest.mark.parametrize("gate_init", ["joint", "per_gate"])
def test_leak_into_the_controller_starts_with_the_deviations_of_the_gates(gate_init: str) -> None:
    network = SequenceClassifier(config("rmts", leak=0.1, gate_init=gate_init))
    i, f, g, o = leak_of(network).map.weight_IO.detach().chunk(4, dim=1)
    for gate, deviation in (
        (i, {"joint": 0.0417, "per_gate": 0.0559}[gate_init]),
        (f, {"joint": 0.0417, "per_gate": 0.0559}[gate_init]),
        (g, 0.0932),
        (o, 0.0559),
    ):
        assert gate.shape == (128, 512)
        assert_drawn(gate, deviation)


@pytest.mark.parametrize(("place", "deviation"), [("key", math.sqrt(2 / 128)), ("output", math.sqrt(2 / 428))])
def test_leak_starts_with_the_deviation_of_what_it_is_added_to(place: Any, deviation: float) -> None:
    task = dataclasses.replace(ONE_STEP, n_choices=300)  # the roles differ too little with 4
    leak = Leak(ESBNConfig(leak=0.1, leak_into=place), 128, task, partial(torch_rng, 0))
    assert_drawn(leak.map.weight_IO.detach(), deviation)


@each_place
def test_seeds_draw_different_leaks(place: str) -> None:
    one, other = (leak_of(SequenceClassifier(config("rmts", seed, leak=0.1, leak_into=place))) for seed in (0, 1))
    assert not torch.equal(one.map.weight_IO, other.map.weight_IO)


def test_learned_strength_starts_at_the_sigmoid_of_minus_four() -> None:
    learned, fixed = (leak_of(SequenceClassifier(leaky("controller", strength))) for strength in ("learned", 1.0))
    z_BTZ = torch.randn(2, 6, 23, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(learned(z_BTZ), fixed(z_BTZ) / (1 + math.exp(4)))


# Strength, bound and penalty


def leak_of_two(**settings: Any) -> Leak:
    """Into two logits, of two features, with V the identity."""
    leak = Leak(ESBNConfig(leak_into="output", **settings), 2, ONE_STEP, partial(torch_rng, 0)).double()
    with torch.no_grad():
        leak.map.weight_IO.copy_(torch.eye(2))
    return leak


@pytest.mark.parametrize(
    ("bound", "z", "expected"),
    [
        (False, (3.0, 4.0), (1.5, 2.0)),
        (True, (3.0, 4.0), (1.5 / math.sqrt(12.5), 2.0 / math.sqrt(12.5))),  # (9 + 16) / 2 = 12.5
        (True, (0.6, 0.8), (0.3, 0.4)),
        (True, (0.0, 0.0), (0.0, 0.0)),
    ],
    ids=["unbounded", "held", "within", "zero"],
)
def test_leak_gives_the_values_worked_by_hand(
    bound: bool, z: tuple[float, float], expected: tuple[float, float]
) -> None:
    leak_11C = leak_of_two(leak=0.5, leak_bound=bound)(torch.tensor([[z]], dtype=torch.float64))
    assert leak_11C.flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_leak_penalty_gives_the_value_worked_by_hand() -> None:
    leak_BTX = torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]], dtype=torch.float64)
    penalty = leak_of_two(leak=0.5, leak_penalty=0.1).penalty(leak_BTX)
    assert penalty.item() == pytest.approx(0.1 * (9 + 16 + 0 + 1) / 4)


@each_place
def test_bound_holds_some_steps_at_the_strength_and_leaves_the_others(place: str) -> None:
    network = perturbed(leaky(place, leak_bound=True))
    free_BT = unbounded_rms(network, "rmts")
    leak_BTX = leak_of(network)(network.embed(objects(), torch.tensor(PROBLEMS["rmts"])))
    torch.testing.assert_close(leak_BTX.square().mean(-1).sqrt(), 0.7 * free_BT.clamp(max=1))
    assert (free_BT > 1).any() and (free_BT < 1).any()


@each_place
def test_penalty_of_zero_adds_nothing_to_the_objective(place: str) -> None:
    _, penalty = perturbed(leaky(place))(objects(), torch.tensor(PROBLEMS["rmts"]), with_penalty=True)
    assert penalty.item() == 0


# Measured after training


def random_problems(n: int) -> np.ndarray:
    """Indices of rmts-like problems over six objects, [n, 6]."""
    return np.random.default_rng(0).integers(6, size=(n, 6))


def measured(network: SequenceClassifier, indices_PT: np.ndarray, targets_P: Tensor) -> LeakMeasures:
    found = measure_leak(network, objects().numpy(), Problems(indices_PT, targets_P.numpy()))
    assert found is not None
    return found


def choices(network: SequenceClassifier, indices_PT: np.ndarray) -> Tensor:
    return (margins(network, indices_PT) > 0).long()


def margins(network: SequenceClassifier, indices_PT: np.ndarray) -> Tensor:
    """By how much choice 1 is ahead of choice 0, [P]."""
    with torch.no_grad():
        return network(objects(), torch.from_numpy(indices_PT)) @ torch.tensor([-1.0, 1.0]).double()


def balance(network: SequenceClassifier, margins_P: Tensor) -> None:
    """Shifts the logits so that half of these margins would be positive."""
    with torch.no_grad():
        network.get_parameter("core.output.bias_O")[-1] -= margins_P.median() + 1e-6


@pytest.fixture
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "BATCH", 2)  # so that three problems fill one batch and a half


@pytest.mark.usefixtures("batches_of_two")
@pytest.mark.parametrize("arm", LEAK_ARMS, ids=arm_label)
def test_measured_rms_is_that_of_the_reference(arm: dict[str, Any]) -> None:
    trial = config("rmts", small=True, tcn="none", encoder="mlp", **arm)
    network = perturbed(trial)
    run, _ = reference_run(network, trial)
    expected = torch.stack(run.leaked).square().mean().sqrt().item()
    found = measured(network, np.array(PROBLEMS["rmts"]), torch.tensor(TARGETS["rmts"]))
    assert found.leak_rms == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01


@pytest.mark.usefixtures("batches_of_two")
@pytest.mark.parametrize("place", ["controller", "key"])
def test_measured_key_spread_is_that_of_the_reference(place: str) -> None:
    trial = leaky(place)
    network = perturbed(trial)
    run, _ = reference_run(network, trial)
    parts = []
    for keys_BK in (key_BK.detach().numpy() for key_BK in run.keys[:2]):
        distances, norms = (np.linalg.norm(keys_BK - other, axis=1) for other in (keys_BK.mean(axis=0), 0))
        parts.append(math.sqrt(np.mean(distances**2) / np.mean(norms**2)))
    found = measured(network, np.array(PROBLEMS["rmts"]), torch.tensor(TARGETS["rmts"]))
    assert found.leak_key_spread == pytest.approx(sum(parts) / 2, rel=1e-9)
    assert found.leak_key_spread > 0.01


def test_measured_key_spread_is_zero_for_a_leak_into_the_output() -> None:
    network, indices_PT = perturbed(leaky("output")), random_problems(20)
    assert measured(network, indices_PT, torch.zeros(20)).leak_key_spread == pytest.approx(0, abs=1e-12)


def test_measured_key_spread_is_zero_for_a_network_that_writes_zeros() -> None:
    network = SequenceClassifier(leaky("output")).double()
    assert measured(network, random_problems(5), torch.zeros(5)).leak_key_spread == 0


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@each_place
def test_measured_closed_accuracy_is_that_of_the_plain_network(place: str, output: str) -> None:
    trial, indices_PT = leaky(place, output=output), random_problems(40)
    network = perturbed(trial)
    balance(network, margins(with_leak_closed(network, trial), indices_PT))
    closed_P = choices(with_leak_closed(network, trial), indices_PT)
    targets_P = torch.where(torch.arange(40) < 28, closed_P, 1 - closed_P)
    assert measured(network, indices_PT, targets_P).closed_accuracy == pytest.approx(28 / 40)
    assert not torch.equal(choices(network, indices_PT), closed_P)


@each_place
def test_measured_swapped_accuracy_of_one_problem_repeated_is_the_plain_accuracy(place: str) -> None:
    network = perturbed(leaky(place))
    indices_PT = np.repeat(random_problems(1), 7, axis=0)
    answers_P = choices(network, indices_PT)
    targets_P = torch.where(torch.arange(7) < 3, answers_P, 1 - answers_P)
    assert measured(network, indices_PT, targets_P).swapped_accuracy == pytest.approx(3 / 7)


def decided_by_leak() -> tuple[SequenceClassifier, np.ndarray, Tensor, list[int]]:
    """A network whose leak decides, problems, its answers, and two of the problems that it answers differently."""
    network = perturbed(leaky("output"))
    with torch.no_grad():
        leak_of(network).map.weight_IO.mul_(1e4)
    indices_PT = random_problems(30)
    balance(network, margins(network, indices_PT))
    answers_P = choices(network, indices_PT)
    pair = [int((answers_P == choice).nonzero()[0]) for choice in (0, 1)]
    return network, indices_PT, answers_P, pair


@pytest.mark.usefixtures("batches_of_two")
def test_measured_swapped_accuracy_gives_no_problem_its_own_leak_where_batches_end() -> None:
    network, indices_PT, answers_P, pair = decided_by_leak()
    first, second = pair
    three, given = [first, first, second], [second, first, first]  # each has the leak of the one before
    assert measured(network, indices_PT[three], answers_P[given]).swapped_accuracy == 1


def test_measured_swapped_accuracy_is_of_the_answer_to_the_other_problem_where_the_leak_decides() -> None:
    network, indices_PT, answers_P, pair = decided_by_leak()
    assert measured(network, indices_PT[pair], answers_P[pair].flip(0)).swapped_accuracy == 1


@pytest.mark.parametrize("model", ["esbn", "lstm"])
def test_measure_leak_finds_none_in_a_network_without(model: str) -> None:
    network = SequenceClassifier(PAPER.with_(task="rmts", model=model).resolve())
    problems = Problems(np.array(PROBLEMS["rmts"]), np.array(TARGETS["rmts"]))
    assert measure_leak(network, objects(torch.float32).numpy(), problems) is None


# Config


@pytest.mark.parametrize("field", ["leak", "leak_penalty"])
def test_trial_id_is_the_same_for_a_whole_number_and_its_float(field: str) -> None:
    base = PAPER.with_(leak=0.5)
    assert base.with_(**{field: 1}).resolve().trial_id() == base.with_(**{field: 1.0}).resolve().trial_id()


def test_trial_id_differs_when_one_setting_of_the_leak_differs() -> None:
    base = PAPER.with_(leak=0.5)
    changes: list[dict[str, Any]] = [
        {"leak": 0.25},
        {"leak": "learned"},
        {"leak_into": "key"},
        {"leak_penalty": 0.1},
        {"leak_bound": True},
    ]
    ids = {base.with_(**change).resolve().trial_id() for change in [{}, *changes]}
    assert len(ids) == 1 + len(changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leak": 1.5}, "leak=1.5 must be a number from 0 to 1, or learned"),
        ({"leak": -0.1}, "leak=-0.1 must be a number from 0 to 1, or learned"),
        ({"leak": math.nan}, "leak=nan must be a number from 0 to 1, or learned"),
        ({"leak": "yes"}, "leak='yes' must be a number from 0 to 1, or learned"),
        ({"leak": True}, "leak=True must be a number from 0 to 1, or learned"),
        ({"leak": None}, "leak=None must be a number from 0 to 1, or learned"),
        ({"leak": 0.1, "leak_into": "memory"}, "leak_into='memory' is unknown; choose one of controller, key, output"),
        ({"leak": 0.1, "leak_penalty": -1}, "leak_penalty=-1 must be a number of at least 0"),
        ({"leak": 0.1, "leak_penalty": math.inf}, "leak_penalty=inf must be a number of at least 0"),
        ({"leak": 0.1, "leak_penalty": "0.1"}, "leak_penalty='0.1' must be a number of at least 0"),
        ({"leak": 0.1, "leak_bound": 1}, "leak_bound=1 must be true or false"),
        ({"leak_into": "key"}, "leak_into='key' needs a leak; set leak, or leave leak_into out"),
        ({"leak_penalty": 0.1}, "leak_penalty=0.1 needs a leak"),
        ({"leak_bound": True}, "leak_bound=True needs a leak"),
        ({"model": "lstm", "leak": 0.1}, "leak=0.1: model lstm has no setting 'leak'"),
    ],
    ids=lambda value: arm_label(value) if isinstance(value, dict) else "",
)
def test_config_refuses_a_leak_there_is_not_and_says_what_would_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PAPER.with_(**changes)
