"""The networks against an independent slow implementation, numbers worked by hand and exact identities."""

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from networks import (
    CONFIDENCES,
    ENCODER_NAMES,
    ENCODERS,
    ESBN_ARMS,
    FLOAT32_CASES,
    PROBLEMS,
    TASK_TCN,
    TWO_STEP_WINDOWS,
    assert_agrees_with_reference,
    assert_drawn,
    assert_trace_agrees_with_reference,
    backward,
    config,
    forward,
    largest,
    memory,
    objects,
    perturbed,
    reference_backward,
)
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from esbn_core.config import MODEL_CONFIGS, PAPER, ESBNConfig, arm_label
from esbn_core.counts import SPECS
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.context_norm import ContextNorm
from esbn_core.models.esbn import ESBN
from esbn_core.objects import glyphs
from esbn_core.seeding import torch_rng

# Agreement with the slow implementation


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn"), TASK_TCN)
def test_classifier_agrees_with_reference_in_float64(task: str, tcn: str, confidence: str, encoder: str) -> None:
    assert_agrees_with_reference(config(task, small=True, tcn=tcn, confidence=confidence, encoder=encoder))


@pytest.mark.parametrize(("task", "tcn"), [("rmts", "segmented"), ("distribution_of_three", "none")])
@pytest.mark.parametrize("arm", ESBN_ARMS, ids=arm_label)
def test_esbn_variant_agrees_with_reference_in_float64(arm: dict[str, Any], task: str, tcn: str) -> None:
    assert_agrees_with_reference(config(task, small=True, tcn=tcn, encoder="mlp", **arm))


def test_classifier_without_padding_agrees_with_reference_in_float64() -> None:
    assert_agrees_with_reference(config("identity_rules", small=True, encoder="conv_unpadded"))


@pytest.mark.slow
@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn", "encoder"), FLOAT32_CASES)
def test_classifier_agrees_with_reference_in_float32(task: str, tcn: str, encoder: str, confidence: str) -> None:
    trial = config(task, tcn=tcn, confidence=confidence, encoder=encoder)
    slow_BC, slow_gradients = reference_backward(perturbed(trial), trial)
    model = perturbed(trial, torch.float32)

    assert largest(forward(model, task, torch.float32) - slow_BC) < 1e-5 * largest(slow_BC)

    # 1e-5 of the largest entry over all parameters, or three times the rounding of the slow way itself where that is
    # larger (2.3 times were seen: processors with other vector units sum in another order): in
    # windows of two steps the gradient that reaches the encoder is a small difference of large terms (5,000 times the
    # incoming one where two images are identical, about 1e-6 of it where they differ), and where a feature hardly
    # varies over a window the division by its deviation enlarges rounding too.
    _, rounded_gradients = reference_backward(perturbed(trial), trial, torch.float32)
    own_error = max(largest(rounded_gradients[name] - slow_gradients[name]) for name in slow_gradients)
    limit = max(1e-5 * max(largest(gradient) for gradient in slow_gradients.values()), 3 * own_error)
    for name, gradient in backward(model, task, torch.float32).items():
        assert largest(gradient - slow_gradients[name]) < limit, name


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn"), TASK_TCN)
def test_trace_agrees_with_reference(task: str, tcn: str, confidence: str) -> None:
    assert_trace_agrees_with_reference(config(task, small=True, tcn=tcn, confidence=confidence))


@pytest.mark.parametrize("arm", ESBN_ARMS, ids=arm_label)
def test_trace_of_an_esbn_variant_agrees_with_reference(arm: dict[str, Any]) -> None:
    assert_trace_agrees_with_reference(config("rmts", small=True, tcn="none", encoder="mlp", **arm))


# Numbers worked by hand


@pytest.mark.parametrize(
    ("task", "confidence", "count"),
    [
        ("same_different", "on", 1_909_733),
        ("same_different", "off", 1_907_683),
        ("same_different", "default_memory", 1_908_067),
        ("rmts", "on", 1_909_733),
        ("rmts", "off", 1_907_683),
        ("rmts", "default_memory", 1_908_067),
        ("distribution_of_three", "on", 1_910_759),
        ("distribution_of_three", "off", 1_908_709),
        ("distribution_of_three", "default_memory", 1_909_093),
        ("identity_rules", "on", 1_910_759),
    ],
)
def test_classifier_has_the_parameters_counted_by_hand(task: str, confidence: str, count: int) -> None:
    assert sum(p.numel() for p in SequenceClassifier(config(task, confidence=confidence)).parameters()) == count


@pytest.mark.parametrize(
    ("encoder", "count"), [("conv", 197_600), ("mlp", 689_024), ("random", 0), ("conv_unpadded", 99_296)]
)
def test_encoder_has_the_parameters_counted_by_hand(encoder: str, count: int) -> None:
    model = SequenceClassifier(config("same_different", encoder=encoder))
    assert sum(p.numel() for p in model.encoder.parameters()) == count


def test_random_encoder_travels_with_the_state_though_it_is_not_trained() -> None:
    model = SequenceClassifier(config("same_different", encoder="random"))
    assert model.state_dict()["encoder.weight_IO"].shape == (1024, 128)
    assert not any(name.startswith("encoder") for name, _ in model.named_parameters())


def test_classifier_without_tcn_has_no_gain_and_bias() -> None:
    model = SequenceClassifier(config("rmts", tcn="none"))
    assert not list(model.norm.parameters())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3.0, 5.0), (-1 / math.sqrt(2), 1 / math.sqrt(2))),
        ((1.0, 2.0, 6.0), (-2 / math.sqrt(7), -1 / math.sqrt(7), 3 / math.sqrt(7))),
        ((4.0, 4.0), (0.0, 0.0)),
    ],
    ids=["3_5", "1_2_6", "4_4"],
)
def test_context_norm_gives_the_values_worked_by_hand(values: tuple[float, ...], expected: tuple[float, ...]) -> None:
    norm = ContextNorm(1, len(values)).double()
    out = norm(torch.tensor(values, dtype=torch.float64)[None, :, None])
    torch.testing.assert_close(out.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-7)


def test_context_norm_rejects_a_window_of_one_step() -> None:
    with pytest.raises(ValueError, match="window=1"):
        ContextNorm(3, 1)


def test_read_gives_the_values_worked_by_hand() -> None:
    core = ESBN(ESBNConfig(), 2, SPECS["same_different"], partial(torch_rng, 0))
    z_13Z = torch.tensor([[[math.log(3), 0.0], [0.0, 1.0], [1.0, 0.0]]])  # z_3 . z_1 = ln 3, z_3 . z_2 = 0
    with torch.no_grad():
        core.gate.bias_O.fill_(0.4)
        core.key.bias_O.copy_(torch.linspace(0.1, 1, 256))
        core.lstm.input.bias_O.fill_(0.3)  # otherwise h and the keys are 0
        first, second, third = core.trace(z_13Z)
    assert first.read is None
    assert third.read is not None
    torch.testing.assert_close(third.read.weights_BS, torch.tensor([[0.75, 0.25]]))
    assert largest(first.key_BK - second.key_BK) > 0.01
    key_BK = 0.75 * first.key_BK + 0.25 * second.key_BK
    torch.testing.assert_close(third.read.vector_BR[:, :256], third.read.gate_B1 * key_BK)
    torch.testing.assert_close(third.read.vector_BR[:, 256:], third.read.gate_B1 * 0.6875)  # 0.75 * 0.75 + 0.25 * 0.5


# Exact identities


def test_classifier_encodes_each_object_once() -> None:
    """Equal images in different places of a batch need not get equal bits from every kernel."""
    model = SequenceClassifier(config("rmts"))
    encoded: list[torch.Size] = []
    model.encoder.register_forward_hook(lambda module, inputs, z_NZ: encoded.append(z_NZ.shape))
    forward(model, "rmts", torch.float32)
    assert encoded == [(6, 128)]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("tcn", ["none", "sequence", "segmented"])
def test_embed_gives_identical_images_identical_bits(tcn: str, encoder: str) -> None:
    model = perturbed(config("rmts", tcn=tcn, encoder=encoder), torch.float32)
    z_BTZ = model.embed(objects(torch.float32), torch.tensor([[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]))
    assert torch.equal(z_BTZ[:, 0::2], z_BTZ[:, 1::2])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("task", "tcn"), TWO_STEP_WINDOWS)
def test_embed_of_a_same_pair_is_the_bias_after_a_two_step_window(task: str, tcn: str, encoder: str) -> None:
    trial = config(task, tcn=tcn, encoder=encoder)
    model = perturbed(trial, torch.float32)
    assert isinstance(model.norm, ContextNorm)
    all_objects = torch.from_numpy(glyphs().scale())
    pairs = torch.arange(100)[:, None].expand(-1, trial.task.spec.n_steps)
    z_BTZ = model.embed(all_objects, pairs)
    assert torch.equal(z_BTZ, model.norm.bias_Z.expand_as(z_BTZ))


@pytest.mark.parametrize("tcn", ["none", "sequence"])
def test_esbn_without_confidence_answers_every_same_different_problem_alike(tcn: str) -> None:
    model = perturbed(config("same_different", confidence="off", tcn=tcn))
    logits_BC = forward(model, "same_different")
    assert torch.equal(logits_BC, logits_BC[:1].expand_as(logits_BC))
    assert logits_BC.any()


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("task", ["rmts", "distribution_of_three"])
def test_keys_of_the_first_two_steps_are_the_same_for_every_problem(task: str, confidence: str) -> None:
    model = perturbed(config(task, confidence=confidence))
    one, other = (
        memory(model).trace(model.embed(objects(), torch.tensor([problem]))) for problem in PROBLEMS[task][1:]
    )
    assert torch.equal(one[0].key_BK, other[0].key_BK)
    assert torch.equal(one[1].key_BK, other[1].key_BK)
    assert not torch.equal(one[-1].key_BK, other[-1].key_BK)


@pytest.mark.parametrize("task", ["same_different", "rmts", "distribution_of_three"])
@pytest.mark.parametrize("confidence", ["off", "default_memory"])
def test_untrained_esbn_without_confidence_has_zero_logits(confidence: str, task: str) -> None:
    model = SequenceClassifier(config(task, confidence=confidence))
    assert not forward(model, task, torch.float32).any()


@pytest.mark.parametrize("task", ["same_different", "rmts", "distribution_of_three"])
@pytest.mark.parametrize("confidence", ["off", "default_memory"])
def test_first_update_without_confidence_moves_no_weights(confidence: str, task: str) -> None:
    # All h and keys are 0, so no weight gets a gradient; the default key is not rectified and gets one.
    model = SequenceClassifier(config(task, confidence=confidence))
    moved = {name for name, gradient in backward(model, task, torch.float32).items() if gradient.any()}
    expected = {"core.lstm.input.bias_O", "core.lstm.hidden.bias_O", "core.output.bias_O"}
    assert moved == expected | ({"core.default_key_K"} if confidence == "default_memory" else set())


def test_untrained_esbn_with_confidence_tells_problems_apart() -> None:
    logits_BC = forward(SequenceClassifier(config("distribution_of_three")), "distribution_of_three", torch.float32)
    assert not torch.equal(logits_BC[0], logits_BC[1])


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_two_lstm_biases_have_equal_gradients(confidence: str) -> None:
    gradient = backward(perturbed(config("rmts", confidence=confidence, small=True)), "rmts")
    torch.testing.assert_close(gradient["core.lstm.input.bias_O"], gradient["core.lstm.hidden.bias_O"])


# Every network trains, alone, in a batch of one and in a pack


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn"), [case for case in TASK_TCN if case[0] != "same_different"])
def test_every_parameter_gets_a_gradient(task: str, tcn: str, confidence: str, encoder: str) -> None:
    trial = config(task, small=True, tcn=tcn, confidence=confidence, encoder=encoder)
    for name, gradient in backward(perturbed(trial, quiet=True), task).items():
        assert gradient.any(), name


@pytest.mark.parametrize("confidence", ["on", "default_memory"])
def test_every_parameter_gets_a_gradient_in_same_different(confidence: str) -> None:
    trial = config("same_different", small=True, confidence=confidence)
    for name, gradient in backward(perturbed(trial, quiet=True), "same_different").items():
        assert gradient.any(), name


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn"), TASK_TCN)
def test_a_batch_of_one_gets_the_logits_of_the_full_batch(task: str, tcn: str, confidence: str) -> None:
    model = perturbed(config(task, small=True, tcn=tcn, confidence=confidence))
    one_1C = model(objects(), torch.tensor(PROBLEMS[task][1:2]))
    torch.testing.assert_close(one_1C, forward(model, task)[1:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(
    ("task", "tcn", "encoder"), [(*case, e) for case, e in zip(TASK_TCN, itertools.cycle(ENCODERS))]
)
def test_a_pack_gives_each_network_its_own_logits(task: str, tcn: str, confidence: str, encoder: str) -> None:
    trials = [config(task, seed, small=True, tcn=tcn, confidence=confidence, encoder=encoder) for seed in range(3)]
    models = [perturbed(trial) for trial in trials]
    parameters, buffers = stack_module_state(models)
    batches_PBT = torch.stack([torch.tensor(PROBLEMS[task]).roll(shift, dims=0) for shift in range(3)])

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], indices_BT: Tensor) -> Tensor:
        return functional_call(models[0], (parameters, buffers), (objects(), indices_BT))

    logits_PBC = vmap(one)(parameters, buffers, batches_PBT)
    alone_PBC = torch.stack([model(objects(), batch) for model, batch in zip(models, batches_PBT, strict=True)])
    torch.testing.assert_close(logits_PBC, alone_PBC, rtol=0, atol=1e-12)
    assert largest(alone_PBC[0] - alone_PBC[1]) > 1e-3


@pytest.mark.parametrize(
    ("encoder", "name", "deviation"),
    [
        ("conv", "encoder.kernels.0", math.sqrt(2 / 16)),
        ("conv", "encoder.kernels.1", math.sqrt(2 / (32 * 16))),
        ("conv", "encoder.kernels.2", math.sqrt(2 / (32 * 16))),
        ("conv", "encoder.layers.0.weight_IO", math.sqrt(2 / 512)),
        ("conv", "encoder.layers.2.weight_IO", math.sqrt(2 / 256)),
        ("conv_unpadded", "encoder.kernels.2", math.sqrt(2 / (32 * 16))),
        ("conv_unpadded", "encoder.layers.0.weight_IO", math.sqrt(2 / 128)),
        ("mlp", "encoder.layers.0.weight_IO", math.sqrt(2 / 1024)),
        ("mlp", "encoder.layers.2.weight_IO", math.sqrt(2 / 512)),
        ("mlp", "encoder.layers.4.weight_IO", math.sqrt(2 / 256)),
        ("random", "encoder.weight_IO", math.sqrt(2 / 1024)),
        ("conv", "core.key.weight_IO", math.sqrt(2 / 512)),
        ("conv", "core.gate.weight_IO", math.sqrt(2 / 513)),
        ("conv", "core.output.weight_IO", math.sqrt(2 / 516)),
    ],
)
def test_weights_start_with_the_deviation_of_their_role(encoder: str, name: str, deviation: float) -> None:
    assert_drawn(SequenceClassifier(config("distribution_of_three", encoder=encoder)).state_dict()[name], deviation)


@pytest.mark.parametrize(
    ("gates", "input_deviation", "hidden_deviation"),
    [
        (slice(0, 1024), math.sqrt(2 / (257 + 1024)), math.sqrt(2 / (512 + 1024))),
        (slice(1024, 1536), 5 / 3 * math.sqrt(2 / (257 + 512)), 5 / 3 * math.sqrt(2 / (512 + 512))),
        (slice(1536, 2048), math.sqrt(2 / (257 + 512)), math.sqrt(2 / (512 + 512))),
    ],
    ids=["i_and_f_as_one_matrix", "g", "o"],
)
def test_lstm_weights_start_with_the_deviation_of_their_gate(
    gates: slice, input_deviation: float, hidden_deviation: float
) -> None:
    state = SequenceClassifier(config("rmts")).state_dict()
    assert_drawn(state["core.lstm.input.weight_IO"][:, gates], input_deviation)
    assert_drawn(state["core.lstm.hidden.weight_IO"][:, gates], hidden_deviation)


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_everything_but_weights_starts_at_zero_and_gains_at_one(encoder: str, confidence: str) -> None:
    state = SequenceClassifier(config("rmts", encoder=encoder, confidence=confidence)).state_dict()
    gains = {"norm.gain_Z", "core.confidence_gain"} & state.keys()
    weights = {name for name in state if "weight" in name or "kernels" in name}
    for name in state.keys() - weights - gains:
        assert not state[name].any(), name
    for name in gains:
        assert torch.equal(state[name], torch.ones_like(state[name])), name


@pytest.mark.parametrize("encoder", ENCODERS)
def test_confidence_variants_share_the_initial_encoder_of_a_seed(encoder: str) -> None:
    states = [SequenceClassifier(config("rmts", 7, encoder=encoder, confidence=c)).state_dict() for c in CONFIDENCES]
    for name in ENCODER_NAMES[encoder]:
        assert all(torch.equal(state[name], states[0][name]) for state in states), name


def test_tcn_variants_share_all_initial_weights_of_a_seed() -> None:
    with_tcn, without = (SequenceClassifier(config("rmts", 7, tcn=tcn)).state_dict() for tcn in ("segmented", "none"))
    assert with_tcn.keys() - without.keys() == {"norm.gain_Z", "norm.bias_Z"}
    assert all(torch.equal(tensor, with_tcn[name]) for name, tensor in without.items())


def test_encoder_variants_share_the_initial_core_of_a_seed() -> None:
    conv, mlp = (
        SequenceClassifier(config("rmts", 7, encoder=encoder)).core.state_dict() for encoder in ("conv", "mlp")
    )
    assert all(torch.equal(tensor, conv[name]) for name, tensor in mlp.items())


def test_seeds_differ_in_every_initial_weight() -> None:
    states = [SequenceClassifier(config("rmts", seed)).state_dict() for seed in (0, 1)]
    weights = [name for name in states[0] if "weight" in name or "kernels" in name]
    assert weights
    for name in weights:
        assert not torch.equal(states[0][name], states[1][name]), name


def test_same_seed_builds_the_same_network_whatever_the_global_generator() -> None:
    torch.manual_seed(1)
    one = SequenceClassifier(config("rmts")).state_dict()
    torch.manual_seed(2)
    other = SequenceClassifier(config("rmts")).state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# Every architecture behind the shared encoder and normalisation


@pytest.mark.parametrize("task", ["same_different", "rmts", "distribution_of_three"])
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("lstm", (1_513_698, 1_513_698, 1_514_724)),
        ("ntm", (2_572_014, 2_572_014, 2_573_040)),
        ("mnm", (544_355, 544_355, 544_613)),
        ("rn", (528_098, 528_098, 528_612)),
        ("trn", (528_098, 858_082, 858_596)),
        ("transformer", (429_922, 429_922, 430_436)),
        ("predinet", (470_810, 999_194, 1_395_500)),
        ("corelnet", (199_394, 204_002, 210_660)),
    ],
)
def test_parameter_counts_of_the_rivals(name: str, counts: tuple[int, ...], task: str) -> None:
    network = SequenceClassifier(PAPER.with_(task=task, model=name).resolve())
    expected = counts[["same_different", "rmts", "distribution_of_three"].index(task)]
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("task", "tcn"), TASK_TCN)
@pytest.mark.parametrize("name", MODEL_CONFIGS)
def test_every_model_runs_with_every_encoder_and_normalisation(name: str, task: str, tcn: str, encoder: str) -> None:
    trial = PAPER.with_(task=task, tcn=tcn, encoder=encoder, model=name).resolve()
    logits_BC = SequenceClassifier(trial)(objects(torch.float32), torch.tensor(PROBLEMS[task][:1]))
    assert logits_BC.shape == (1, trial.task.spec.n_choices)
    assert logits_BC.isfinite().all()
