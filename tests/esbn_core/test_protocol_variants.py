"""Variants of the protocol, through the whole classifier: slow references, numbers by hand, packs and refusals."""

import math
from typing import Any

import numpy as np
import pytest
import reference_attention
import torch
from networks import (
    ENCODER_NAMES,
    ESBN_ARMS,
    PROBLEMS,
    TARGETS,
    WINDOWS,
    assert_drawn,
    assert_gradients_agree,
    backward,
    forward,
    gradients,
    largest,
    objects,
    perturbed,
    reference_run,
)
from torch import Tensor
from torch.func import stack_module_state
from torch.nn import functional as F

from esbn_core import reference
from esbn_core.config import PAPER, ResolvedTrial, arm_label
from esbn_core.errors import ConfigError
from esbn_core.evaluate import PackProblems, measure
from esbn_core.models.classifier import SequenceClassifier

SIZES: dict[str, dict[str, int]] = {
    "esbn": {"key_size": 11, "hidden_size": 14},
    "lstm": {"hidden_size": 7},
    "ntm": {"hidden_size": 7, "slots": 4, "slot_size": 3},
    "transformer": {"heads": 3, "head_size": 5, "feedforward_size": 17, "hidden_size": 13},
    "corelnet": {"hidden_size": 13},
}
"""Odd sizes instead of the paper's, all different."""

PER_GATE_ARMS: list[dict[str, Any]] = [{"model": name, "gate_init": "per_gate"} for name in ("esbn", "lstm", "ntm")]
SIGMOID_ARMS: list[dict[str, Any]] = [{"model": name, "output": "sigmoid"} for name in ("esbn", "lstm", "corelnet")]
MAPPED_ARMS: list[dict[str, Any]] = [{"model": "corelnet", "variant": variant} for variant in ("tied", "asymmetric")]

each_variant = pytest.mark.parametrize(
    "arm",
    [
        *ESBN_ARMS,
        *PER_GATE_ARMS,
        *SIGMOID_ARMS,
        *({**arm, "tcn": "none"} for arm in MAPPED_ARMS),
        {"model": "ntm", "sharpening": False},
        {"model": "transformer", "final_norm": False},
        {"encoder": "conv_unpadded"},
    ],
    ids=arm_label,
)


def resolved(task: str = "rmts", seed: int = 0, **arm: Any) -> ResolvedTrial:
    return PAPER.with_(task=task, seed=seed, **arm).resolve()


def small(seed: int = 0, **arm: Any) -> ResolvedTrial:
    """Of rmts, all six steps normalised together."""
    arm = {"tcn": "sequence", "encoder": "mlp", "embedding_size": 23, **SIZES[arm.get("model", "esbn")], **arm}
    return resolved(seed=seed, **arm)


# Every variant trains, in a batch of one and in a pack


WITHOUT_EFFECT = {"core.maps.1.bias_O"}
"""The bias of the map Q adds x_i . b_Q to row i of the similarities: a softmax over the row takes no notice."""


@each_variant
def test_every_parameter_of_a_variant_gets_a_gradient(arm: dict[str, Any]) -> None:
    found = backward(perturbed(small(**arm)), "rmts")
    assert {name for name, gradient in found.items() if largest(gradient) < 1e-9} == found.keys() & WITHOUT_EFFECT


@each_variant
def test_a_batch_of_one_gets_the_logits_of_the_full_batch(arm: dict[str, Any]) -> None:
    network = perturbed(small(**arm))
    one_1C = network(objects(), torch.tensor(PROBLEMS["rmts"][1:2]))
    torch.testing.assert_close(one_1C, forward(network, "rmts")[1:2], rtol=0, atol=1e-12)


@each_variant
def test_a_pack_gives_each_network_its_own_loss_and_gradients(arm: dict[str, Any]) -> None:
    networks = [perturbed(small(seed, **arm), quiet=True) for seed in range(3)]
    parameters, buffers = stack_module_state([*networks])
    same_for_all = (objects(), torch.tensor(PROBLEMS["rmts"]), torch.tensor(TARGETS["rmts"]))
    batch = PackProblems(*(tensor.expand(3, *tensor.shape) for tensor in same_for_all))
    loss_K, _ = measure(networks[0])(parameters, buffers, batch)
    loss_K.sum().backward()

    for k, network in enumerate(networks):
        logits_BC, penalty = network(*same_for_all[:2], with_penalty=True)
        alone = F.cross_entropy(logits_BC, same_for_all[2]) + penalty
        torch.testing.assert_close(loss_K[k], alone, rtol=0, atol=1e-12)
        packed = {name: gradient[k] for name, gradient in gradients(parameters).items()}
        assert_gradients_agree(packed, backward(network, "rmts"))
    assert largest(loss_K[0] - loss_K[1]) > 1e-6


# Numbers worked by hand


@pytest.mark.parametrize(
    ("task", "arm", "count"),
    [
        ("rmts", {"retrieval": "scaled"}, 1_909_733),
        ("rmts", {"retrieval": "tied"}, 1_909_733 + 128 * 128),
        ("rmts", {"retrieval": "free"}, 1_909_733 + 2 * 128 * 128),
        ("rmts", {"leak": 0}, 1_909_733),
        ("rmts", {"leak": 0.1}, 1_909_733 + 128 * 2048),
        ("rmts", {"leak": "learned", "leak_bound": True}, 1_909_733 + 128 * 2048 + 1),
        ("rmts", {"leak": 0.1, "leak_into": "key"}, 1_909_733 + 128 * 256),
        ("rmts", {"leak": 0.1, "leak_into": "output"}, 1_909_733 + 6 * 128 * 2),
        ("distribution_of_three", {"leak": 0.1, "leak_into": "output"}, 1_910_759 + 9 * 128 * 4),
        ("rmts", {"gate_init": "per_gate"}, 1_909_733),
        ("rmts", {"encoder": "conv_unpadded"}, 1_909_733 - (512 - 128) * 256),
        ("rmts", {"output": "sigmoid"}, 1_909_733 - 513),
        ("rmts", {"output": "sigmoid", "leak": 0.1, "leak_into": "output"}, 1_909_733 - 513 + 6 * 128),
        ("rmts", {"output": "sigmoid", "model": "lstm"}, 1_513_698 - 513),
        ("rmts", {"model": "ntm", "sharpening": False}, 2_572_014 - 2 * 513),
        ("rmts", {"model": "transformer", "final_norm": False}, 429_922 - 2 * 128),
        ("rmts", {"model": "corelnet", "variant": "tied"}, 204_002 + 128 * 128 + 128),
        ("rmts", {"model": "corelnet", "variant": "asymmetric"}, 204_002 + 2 * (128 * 128 + 128)),
    ],
    ids=lambda value: arm_label(value) if isinstance(value, dict) else "",
)
def test_variant_has_the_parameters_counted_by_hand(task: str, arm: dict[str, Any], count: int) -> None:
    assert sum(p.numel() for p in SequenceClassifier(resolved(task, **arm)).parameters()) == count


# Maps of CoRelNet before normalisation


def mapped_corelnet(parameters: reference.Parameters, task: str, tcn: str) -> Tensor:
    """Logits from x = TCN(P e + b_P) and y = TCN(Q e + b_Q); without a Q, y = x."""
    e_TBZ = reference.encode_steps(parameters, objects()[torch.tensor(PROBLEMS[task])], "mlp")

    def normalised(weight: str, bias: str) -> Tensor:
        mapped_TBZ = [e_BZ @ parameters[weight].T + parameters[bias] for e_BZ in e_TBZ]
        return torch.stack(reference.context_norm(parameters, mapped_TBZ, WINDOWS[task, tcn]), dim=1)

    x_BTZ = normalised("P", "b_P")
    y_BTZ = normalised("Q", "b_Q") if "Q" in parameters else x_BTZ
    return reference_attention.corelnet(parameters, x_BTZ, y_BTZ, "causal")


MAPPED_NAMES = ENCODER_NAMES["mlp"] | {
    "norm.gain_Z": "gamma",
    "norm.bias_Z": "beta",
    "core.maps.0.weight_IO": "P",
    "core.maps.0.bias_O": "b_P",
    "core.maps.1.weight_IO": "Q",
    "core.maps.1.bias_O": "b_Q",
    "core.hidden.weight_IO": "W_h",
    "core.hidden.bias_O": "b_h",
    "core.output.weight_IO": "W_y",
    "core.output.bias_O": "b_y",
}


@pytest.mark.parametrize("arm", MAPPED_ARMS, ids=arm_label)
@pytest.mark.parametrize(
    ("task", "tcn"),
    [("rmts", "none"), ("rmts", "sequence"), ("rmts", "segmented"), ("distribution_of_three", "sequence")],
)
def test_corelnet_with_maps_agrees_with_reference(task: str, tcn: str, arm: dict[str, Any]) -> None:
    network = perturbed(small(task=task, tcn=tcn, **arm), quiet=tcn == "segmented")
    copies = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}
    by_equation = {MAPPED_NAMES[name]: copy.T if name.endswith("_IO") else copy for name, copy in copies.items()}
    slow_BC = mapped_corelnet(by_equation, task, tcn)
    F.cross_entropy(slow_BC, torch.tensor(TARGETS[task])).backward()

    assert largest(forward(network, task) - slow_BC) < 1e-9
    fast, slow = backward(network, task), gradients(copies)
    if tcn != "none":  # it takes the mean away, and with it the biases of the maps: their gradients are rounding
        for name in [name for name in slow if name.startswith("core.maps") and name.endswith("bias_O")]:
            limit = 1e-9 * largest(slow[name.replace("bias_O", "weight_IO")])
            assert largest(fast.pop(name)) < limit and largest(slow.pop(name)) < limit, name
    assert_gradients_agree(fast, slow)


def test_maps_of_corelnet_start_uniform_within_one_over_the_root_of_the_fan() -> None:
    core, bound = SequenceClassifier(resolved(model="corelnet", variant="asymmetric")).core, 1 / math.sqrt(128)
    for name in ("maps.0", "maps.1"):
        weights, bias = (core.get_parameter(f"{name}.{part}").detach() for part in ("weight_IO", "bias_O"))
        assert largest(weights) <= bound
        assert 0 < largest(bias) <= bound
        assert_drawn(weights, bound / math.sqrt(3))


def test_corelnet_draws_its_two_maps_apart_and_shares_the_first_with_the_tied_form() -> None:
    tied, free = (SequenceClassifier(resolved(**arm)).state_dict() for arm in MAPPED_ARMS)
    assert not torch.equal(free["core.maps.0.weight_IO"], free["core.maps.1.weight_IO"])
    for name, tensor in tied.items():
        assert torch.equal(tensor, free[name]), name


# One sigmoid unit


def test_sigmoid_output_agrees_with_reference() -> None:
    trial = small(output="sigmoid")
    network = perturbed(trial, quiet=True)
    run, copies = reference_run(network, trial)
    F.binary_cross_entropy_with_logits(run.logits_BC[:, 0], torch.tensor(TARGETS["rmts"]).double()).backward()

    assert largest(forward(network, "rmts") - F.pad(run.logits_BC, (1, 0))) < 1e-9
    assert_gradients_agree(backward(network, "rmts"), gradients(copies))


def pack_of_one(network: SequenceClassifier, problems: PackProblems) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """What training sees: loss, its gradients by parameter name, and accuracy."""
    parameters, buffers = stack_module_state([network])
    loss_K, accuracy_K = measure(network)(parameters, buffers, problems)
    loss_K.sum().backward()
    return loss_K[0].detach(), {name: grad_K[0] for name, grad_K in gradients(parameters).items()}, accuracy_K[0]


def random_problems(n: int) -> PackProblems:
    """Of one network, over six objects."""
    generator = torch.Generator().manual_seed(0)
    indices_1BT = torch.randint(6, (1, n, 6), generator=generator)
    return PackProblems(objects()[None], indices_1BT, torch.randint(2, (1, n), generator=generator))


def unit(network: SequenceClassifier, problems: PackProblems) -> Tensor:
    """The value x of the sigmoid unit, [B]."""
    x_B1 = network.core(network.embed(problems.objects_KNX[0], problems.indices_KPT[0]))
    assert x_B1.shape == (problems.indices_KPT.shape[1], 1)
    return x_B1[:, 0]


@pytest.mark.parametrize("arm", SIGMOID_ARMS, ids=arm_label)
def test_sigmoid_output_is_trained_on_binary_cross_entropy(arm: dict[str, Any]) -> None:
    network, problems = perturbed(small(**arm), quiet=True), random_problems(20)
    expected = F.binary_cross_entropy_with_logits(unit(network, problems), problems.targets_KP[0].double())
    expected.backward()
    loss, found, _ = pack_of_one(network, problems)

    torch.testing.assert_close(loss, expected.detach(), rtol=0, atol=1e-12)
    assert_gradients_agree(found, gradients(dict(network.named_parameters())))


@pytest.mark.parametrize("arm", SIGMOID_ARMS, ids=arm_label)
def test_sigmoid_output_chooses_1_where_the_unit_is_positive(arm: dict[str, Any]) -> None:
    network, problems = perturbed(small(**arm)), random_problems(50)
    with torch.no_grad():  # both choices must occur
        bias_O = network.get_parameter("core.output.bias_O")
        bias_O -= unit(network, problems).median() + 1e-6
    positive_B = unit(network, problems) > 0
    assert 0 < int(positive_B.sum()) < 50

    _, _, accuracy = pack_of_one(network, problems)
    assert float(accuracy) == pytest.approx(np.mean((positive_B == (problems.targets_KP[0] == 1)).tolist()), abs=1e-12)


def test_sigmoid_output_chooses_0_where_the_unit_is_zero() -> None:
    logits_BC = SequenceClassifier(small(output="sigmoid")).per_choice(torch.tensor([[-1.0], [0.0], [2.0]]))
    assert logits_BC.argmax(dim=-1).tolist() == [0, 0, 1]


# Initial weights


@pytest.mark.parametrize(
    ("model", "of_input"),
    [
        ("esbn", (0.0510, 0.0510, 0.0850, 0.0510)),
        ("lstm", (0.0559, 0.0559, 0.0932, 0.0559)),
        ("ntm", (0.0472, 0.0472, 0.0787, 0.0472)),
    ],
)
@pytest.mark.parametrize("gate", range(4), ids=["i", "f", "g", "o"])
def test_gates_drawn_apart_start_with_the_deviation_of_their_role(
    gate: int, model: str, of_input: tuple[float, ...]
) -> None:
    core = SequenceClassifier(resolved(model=model, gate_init="per_gate")).core
    columns = slice(512 * gate, 512 * (gate + 1))
    assert_drawn(core.get_parameter("lstm.input.weight_IO")[:, columns].detach(), of_input[gate])
    of_hidden = (0.0442, 0.0442, 0.0737, 0.0442)[gate]
    assert_drawn(core.get_parameter("lstm.hidden.weight_IO")[:, columns].detach(), of_hidden)


@pytest.mark.parametrize("model", ["esbn", "lstm", "ntm"])
def test_gate_init_changes_nothing_but_the_weights_of_the_gates(model: str) -> None:
    joint, apart = (
        SequenceClassifier(small(model=model, gate_init=init)).state_dict() for init in ("joint", "per_gate")
    )
    differing = {name for name, tensor in joint.items() if not torch.equal(tensor, apart[name])}
    assert differing == {"core.lstm.input.weight_IO", "core.lstm.hidden.weight_IO"}


@pytest.mark.parametrize("name", ["query", "key"])
def test_retrieval_maps_start_with_the_deviation_of_xavier(name: str) -> None:
    core = SequenceClassifier(resolved(retrieval="free")).core
    assert_drawn(core.get_parameter(f"similarities.{name}.weight_IO").detach(), math.sqrt(2 / 256))


def test_retrieval_draws_its_two_maps_apart() -> None:
    state = SequenceClassifier(small(retrieval="free")).state_dict()
    assert not torch.equal(state["core.similarities.query.weight_IO"], state["core.similarities.key.weight_IO"])


def test_retrieval_variants_share_the_initial_weights_of_a_seed() -> None:
    states = [SequenceClassifier(small(retrieval=r)).state_dict() for r in ("plain", "scaled", "tied", "free")]
    for state in states[:-1]:
        for name, tensor in state.items():
            assert torch.equal(tensor, states[-1][name]), name


# Refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "distribution_of_three", "output": "sigmoid"},
            "output='sigmoid' is for tasks with two choices; distribution_of_three has 4",
        ),
        ({"task": "identity_rules", "output": "sigmoid"}, "output='sigmoid' .* identity_rules has 4"),
        ({"output": "linear"}, "output='linear' is unknown; choose one of softmax, sigmoid"),
        ({"encoder": "unpadded"}, "encoder='unpadded' is unknown; choose one of conv, .* conv_unpadded"),
        ({"retrieval": "cosine"}, "retrieval='cosine' is unknown; choose one of plain, scaled, tied, free"),
        ({"gate_init": True}, "gate_init=True is unknown; choose one of joint, per_gate"),
        ({"model": "lstm", "gate_init": "apart"}, "gate_init='apart' is unknown; choose one of joint, per_gate"),
        ({"model": "ntm", "gate_init": "apart"}, "gate_init='apart' is unknown; choose one of joint, per_gate"),
        ({"model": "mnm", "gate_init": "per_gate"}, "model mnm has no setting 'gate_init'"),
        ({"model": "ntm", "sharpening": "no"}, "sharpening='no' must be true or false"),
        ({"model": "transformer", "final_norm": 1}, "final_norm=1 must be true or false"),
        ({"model": "corelnet", "variant": "asym"}, "variant='asym' is unknown; choose one of .* tied, asymmetric"),
    ],
    ids=lambda value: arm_label(value) if isinstance(value, dict) else "",
)
def test_config_refuses_a_variant_there_is_not_and_says_what_would_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PAPER.with_(**changes)


@pytest.mark.parametrize("task", ["same_different", "rmts"])
def test_config_takes_a_sigmoid_for_tasks_with_two_choices(task: str) -> None:
    assert resolved(task, output="sigmoid").flat()["output"] == "sigmoid"
