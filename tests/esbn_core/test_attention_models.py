"""The attention models and CoRelNet against a slow implementation, counts and values by hand, and in packs."""

import dataclasses
import math
from functools import partial
from typing import Any

import pytest
import reference_attention as reference
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from esbn_core.baseline_configs import (
    AbstractorConfig,
    CoRelNetConfig,
    PrediNetConfig,
    SimpleAbstractorConfig,
    TransformerConfig,
)
from esbn_core.counts import SPECS
from esbn_core.errors import ConfigError
from esbn_core.models.abstractor import Abstractor
from esbn_core.models.core import Core
from esbn_core.models.corelnet import CoRelNet
from esbn_core.models.predinet import PrediNet
from esbn_core.models.transformer import Transformer
from esbn_core.seeding import torch_rng

Config = TransformerConfig | PrediNetConfig | CoRelNetConfig | AbstractorConfig
CORES: dict[type[Config], type[Core]] = {
    TransformerConfig: Transformer,
    PrediNetConfig: PrediNet,
    CoRelNetConfig: CoRelNet,
    AbstractorConfig: Abstractor,
    SimpleAbstractorConfig: Abstractor,
}

CONFIGS: dict[str, Config] = {
    "transformer": TransformerConfig(),
    "transformer_without_final_norm": TransformerConfig(final_norm=False),
    "predinet": PrediNetConfig(),
    **{f"corelnet_{v}": CoRelNetConfig(variant=v) for v in ("causal", "full", "no_softmax", "with_content")},
    **{f"abstractor_{a}": AbstractorConfig(activation=a) for a in ("softmax", "sigmoid", "tanh", "identity")},
    **{f"tied_{a}": AbstractorConfig(activation=a, tied=True) for a in ("softmax", "tanh")},
    "abstractor_mean": AbstractorConfig(head="mean"),
    "abstractor_fixed": AbstractorConfig(symbols="fixed"),
    **{f"simple_{a}": SimpleAbstractorConfig(activation=a) for a in ("softmax", "sigmoid")},
    "simple_tied_fixed_mean": SimpleAbstractorConfig(tied=True, symbols="fixed", head="mean"),
}

EACH_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
EACH_TASK = pytest.mark.parametrize("task", ["same_different", "rmts", "distribution_of_three"])

SIZES = {
    TransformerConfig: {"heads": 3, "head_size": 5, "feedforward_size": 17, "hidden_size": 13},
    PrediNetConfig: {"heads": 3, "key_size": 5, "hidden_size": 13},
    CoRelNetConfig: {"hidden_size": 13},
    AbstractorConfig: {"heads": 3, "head_size": 5, "feedforward_size": 17, "hidden_size": 13},
    SimpleAbstractorConfig: {"heads": 3, "head_size": 5, "feedforward_size": 17, "hidden_size": 13},
}
"""Odd sizes instead of the paper's, all different."""

N_SMALL = 21  # features of small cores; a multiple of the heads

EQUATION_NAMES = {
    "query_key_value.weight_IO": "W_qkv",
    "query_key_value.bias_O": "b_qkv",
    "merge.weight_IO": "W_o",
    "merge.bias_O": "b_o",
    "norm.weight": "gain_1",
    "norm.bias": "bias_1",
    "feed_forward.expand.weight_IO": "W_a",
    "feed_forward.expand.bias_O": "b_a",
    "feed_forward.contract.weight_IO": "W_b",
    "feed_forward.contract.bias_O": "b_b",
    "feed_forward.norm.weight": "gain_2",
    "feed_forward.norm.bias": "bias_2",
    "final_norm.weight": "gain_3",
    "final_norm.bias": "bias_3",
    "hidden.weight_IO": "W_h",
    "hidden.bias_O": "b_h",
    "output.weight_IO": "W_y",
    "output.bias_O": "b_y",
    "key.weight_IO": "W_K",
    "query_1.weight_IO": "W_1",
    "query_2.weight_IO": "W_2",
    "compared.weight_IO": "W_S",
    "symbols_TZ": "S",
    "relations.query.weight_IO": "Q",
    "relations.query.bias_O": "b_Q",
    "relations.key.weight_IO": "K",
    "relations.key.bias_O": "b_K",
    "messages.value.weight_IO": "V",
    "messages.value.bias_O": "b_V",
    "messages.merge.weight_IO": "O",
    "messages.merge.bias_O": "b_O",
    "messages.norm.weight": "gain_1",
    "messages.norm.bias": "bias_1",
    "messages.weight_HZP": "U",
    "messages.bias_Z": "b_U",
}


def build(config: Config, task: str, seed: int = 0, n_features: int = 128) -> Core:
    return CORES[type(config)](config, n_features, SPECS[task], partial(torch_rng, seed))


def small(config: Config) -> Config:
    return dataclasses.replace(config, **SIZES[type(config)])


def perturbed(config: Config, task: str, seed: int = 0, n_features: int = N_SMALL) -> Core:
    """A core in float64 with noise on every parameter, so that no gain is 1 and no bias 0."""
    core = build(config, task, seed, n_features).double()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return core


def embeddings(task: str, n_problems: int = 4, n_features: int = N_SMALL, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_problems, SPECS[task].n_steps, n_features, generator=generator, dtype=torch.float64)


def targets(task: str, n_problems: int = 4) -> Tensor:
    return torch.arange(n_problems) % SPECS[task].n_choices


def slow_logits(config: Config, p: reference.Parameters, z_BTZ: Tensor) -> Tensor:
    match config:
        case TransformerConfig():
            return reference.transformer(p, z_BTZ, config.heads, config.final_norm)
        case PrediNetConfig():
            return reference.predinet(p, z_BTZ, config.heads)
        case CoRelNetConfig():
            return reference.corelnet(p, z_BTZ, z_BTZ, config.variant)
        case AbstractorConfig():
            simple, activation = isinstance(config, SimpleAbstractorConfig), config.activation
            return reference.abstractor(
                p, z_BTZ, config.heads, activation=activation, simple=simple, pooling=config.head
            )


def gradients(core: Core, z_BTZ: Tensor, targets_B: Tensor) -> dict[str, Tensor]:
    """Of the mean cross-entropy, by parameter name."""
    core.zero_grad()
    F.cross_entropy(core(z_BTZ), targets_B).backward()
    return {name: parameter.grad for name, parameter in core.named_parameters() if parameter.grad is not None}


def assert_agrees_with_reference(config: Config, core: Core, task: str, z_BTZ: Tensor) -> None:
    """Logits, and the gradients of the cross-entropy by every parameter and by the embeddings."""
    slow_z_BTZ, z_BTZ = z_BTZ.clone().requires_grad_(), z_BTZ.clone().requires_grad_()
    copies = {name: p.detach().clone().requires_grad_() for name, p in core.named_parameters()}
    p = {EQUATION_NAMES[name]: copy.T if name.endswith("_IO") else copy for name, copy in copies.items()}
    slow_BC = slow_logits(config, p, slow_z_BTZ)
    F.cross_entropy(slow_BC, targets(task, len(z_BTZ))).backward()

    torch.testing.assert_close(core(z_BTZ), slow_BC, rtol=0, atol=1e-9)
    found = gradients(core, z_BTZ, targets(task, len(z_BTZ)))
    assert found.keys() == copies.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, copies[name].grad, rtol=0, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(z_BTZ.grad, slow_z_BTZ.grad, rtol=0, atol=1e-9)


# Agreement with the slow implementation


@EACH_TASK
@EACH_CONFIG
def test_core_agrees_with_reference(config: Config, task: str) -> None:
    config = small(config)
    assert_agrees_with_reference(config, perturbed(config, task), task, embeddings(task))


@pytest.mark.parametrize("name", ["transformer", "predinet", "corelnet_causal", "abstractor_softmax", "simple_softmax"])
def test_core_agrees_with_reference_at_the_published_sizes(name: str) -> None:
    config, task = CONFIGS[name], "distribution_of_three"
    core = perturbed(config, task, n_features=128)
    assert_agrees_with_reference(config, core, task, embeddings(task, 2, 128) / 4)


@EACH_CONFIG
def test_core_in_float32_gives_the_logits_of_float64(config: Config) -> None:
    core, z_BTZ = perturbed(small(config), "rmts"), embeddings("rmts").float().double()
    core.float().double()  # the same parameters in either precision
    logits_BC = core(z_BTZ)
    torch.testing.assert_close(core.float()(z_BTZ.float()).double(), logits_BC, rtol=1e-4, atol=1e-4)


# Numbers worked by hand


@pytest.mark.parametrize(
    ("config", "task", "count"),
    [
        (TransformerConfig(), "same_different", 429_922 - 197_856),  # less the encoder and the gain and bias of TCN
        (TransformerConfig(), "rmts", 429_922 - 197_856),
        (TransformerConfig(), "distribution_of_three", 430_436 - 197_856),
        (TransformerConfig(final_norm=False), "rmts", 429_922 - 197_856 - 2 * 128),
        (PrediNetConfig(), "same_different", 470_810 - 197_856),
        (PrediNetConfig(), "rmts", 999_194 - 197_856),
        (PrediNetConfig(), "distribution_of_three", 1_395_500 - 197_856),
        (CoRelNetConfig(), "same_different", 1_794 - 256),
        (CoRelNetConfig(), "rmts", 6_402 - 256),
        (CoRelNetConfig(), "distribution_of_three", 13_060 - 256),
        (CoRelNetConfig(variant="full"), "rmts", 36 * 256 + 256 + 514),
        (CoRelNetConfig(variant="no_softmax"), "rmts", 21 * 256 + 256 + 514),
        (CoRelNetConfig(variant="with_content"), "rmts", (21 + 768) * 256 + 256 + 514),
        (CoRelNetConfig(variant="tied"), "rmts", 6_402 - 256 + 128 * 128 + 128),
        (CoRelNetConfig(variant="asymmetric"), "rmts", 6_402 - 256 + 2 * (128 * 128 + 128)),
    ],
)
def test_core_has_the_parameters_counted_by_hand(config: Config, task: str, count: int) -> None:
    assert sum(p.numel() for p in build(config, task).parameters()) == count


SQUARE = 128 * 128
ABSTRACTOR_REST = 2 * 128 + (128 * 512 + 512) + (512 * 128 + 128)
"""The feed-forward block and its norm."""


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (AbstractorConfig(), 768 + 4 * SQUARE + 3 * 128 + 256 + 768 * 256 + 256 + 514),
        (AbstractorConfig(activation="tanh"), 768 + 4 * (SQUARE + 128) + 256 + 768 * 256 + 256 + 514),
        (AbstractorConfig(tied=True), 768 + 3 * SQUARE + 2 * 128 + 256 + 768 * 256 + 256 + 514),
        (AbstractorConfig(symbols="fixed"), 4 * SQUARE + 3 * 128 + 256 + 768 * 256 + 256 + 514),
        (AbstractorConfig(head="mean"), 768 + 4 * SQUARE + 3 * 128 + 256 + 128 * 256 + 256 + 514),
        (SimpleAbstractorConfig(), 768 + 2 * 128 * 64 + SQUARE + 128 + 768 * 256 + 256 + 514),
        (SimpleAbstractorConfig(tied=True), 768 + 128 * 64 + SQUARE + 128 + 768 * 256 + 256 + 514),
    ],
    ids=["default", "tanh", "tied", "fixed", "mean", "simple", "simple_tied"],
)
def test_abstractor_has_the_parameters_counted_by_hand(config: AbstractorConfig, count: int) -> None:
    assert sum(p.numel() for p in build(config, "rmts").parameters()) == count + ABSTRACTOR_REST


@pytest.mark.parametrize(
    ("z_1", "z_2", "expected"),
    [
        ((0.0, 0.0), (0.0, 0.0), (1.0, 0.5, 0.5)),  # a same pair after a two-step window of TCN
        ((1.0, 0.0), (math.log(3), 0.0), (1.0, 1 / (1 + 3 ** (math.log(3) - 1)), 1 / (1 + 3 ** (1 - math.log(3))))),
        ((6.0, 6.0), (-6.0, -6.0), (1.0, 0.0, 1.0)),  # a different pair
    ],
    ids=["same", "between", "different"],
)
def test_corelnet_features_are_those_worked_by_hand(
    z_1: tuple[float, ...], z_2: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    core = CoRelNet(CoRelNetConfig(), 2, SPECS["same_different"], partial(torch_rng, 0))
    features_1V = core.features(torch.tensor([[z_1, z_2]], dtype=torch.float64))
    torch.testing.assert_close(features_1V[0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_untrained_abstractor_relates_a_same_pair_of_a_two_step_window_evenly(tied: bool) -> None:
    core = Abstractor(AbstractorConfig(tied=tied), 128, SPECS["same_different"], partial(torch_rng, 0))
    assert torch.equal(core.relations(torch.zeros(1, 2, 128)), torch.full((1, 8, 2, 2), 0.5))


def test_tied_relations_are_symmetric_before_the_softmax_and_free_ones_are_not() -> None:
    for tied in (True, False):
        config = AbstractorConfig(activation="identity", tied=tied)
        core = Abstractor(config, 128, SPECS["rmts"], partial(torch_rng, 0)).double()
        relations_BHTT = core.relations(embeddings("rmts", n_features=128))
        assert torch.allclose(relations_BHTT, relations_BHTT.transpose(-2, -1)) == tied


def test_abstractor_passes_nothing_of_the_embeddings_but_their_relations() -> None:
    """Turning all embeddings of a problem alike changes no dot product when queries and keys are the embeddings."""
    core = perturbed(AbstractorConfig(heads=1, head_size=N_SMALL, tied=True, activation="tanh"), "rmts")
    with torch.no_grad():
        core.get_parameter("relations.query.weight_IO").copy_(torch.eye(N_SMALL, dtype=torch.float64))
    z_BTZ = embeddings("rmts")
    random_ZZ = torch.randn(N_SMALL, N_SMALL, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    rotation_ZZ = torch.linalg.qr(random_ZZ).Q
    torch.testing.assert_close(core(z_BTZ @ rotation_ZZ), core(z_BTZ), rtol=0, atol=1e-9)


# Every network trains, alone, in a batch of one and in a pack


@EACH_TASK
@EACH_CONFIG
def test_every_parameter_gets_a_gradient(config: Config, task: str) -> None:
    core = perturbed(small(config), task)
    found = gradients(core, embeddings(task), targets(task))
    assert found.keys() == dict(core.named_parameters()).keys()
    for name, gradient in found.items():
        assert gradient.abs().max() > 1e-9, name


@EACH_TASK
@EACH_CONFIG
def test_a_batch_of_one_gets_the_logits_of_the_full_batch(config: Config, task: str) -> None:
    core, z_BTZ = perturbed(small(config), task), embeddings(task)
    torch.testing.assert_close(core(z_BTZ[1:2]), core(z_BTZ)[1:2], rtol=0, atol=1e-12)


@EACH_CONFIG
def test_a_pack_gives_each_network_its_own_logits_and_gradients(config: Config) -> None:
    task = "distribution_of_three"
    cores = [perturbed(small(config), task, seed) for seed in range(3)]
    z_PBTZ = torch.stack([embeddings(task, seed=seed) for seed in range(3)])
    parameters, buffers = stack_module_state([*cores])

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], z_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        logits_BC = functional_call(cores[0], (parameters, buffers), (z_BTZ,))
        return logits_BC, F.cross_entropy(logits_BC, targets(task))

    logits_PBC, loss_P = vmap(one)(parameters, buffers, z_PBTZ)
    loss_P.sum().backward()
    for k, core in enumerate(cores):
        torch.testing.assert_close(logits_PBC[k], core(z_PBTZ[k]), rtol=0, atol=1e-12)
        for name, gradient in gradients(core, z_PBTZ[k], targets(task)).items():
            packed = parameters[name].grad
            assert packed is not None
            torch.testing.assert_close(packed[k], gradient, rtol=0, atol=1e-12)
    assert (logits_PBC[0] - logits_PBC[1]).abs().max() > 1e-3


@EACH_CONFIG
def test_core_leaves_its_input_alone(config: Config) -> None:
    z_BTZ = embeddings("rmts")
    before = z_BTZ.clone()
    perturbed(small(config), "rmts")(z_BTZ)
    assert torch.equal(z_BTZ, before)


@EACH_CONFIG
def test_core_makes_no_tensor_on_another_device(config: Config) -> None:
    core = build(config, "rmts").to("meta")
    assert core(torch.empty(3, 6, 128, device="meta")).shape == (3, 2)


# Initial weights


def xavier(n_in: int, n_out: int) -> float:
    return math.sqrt(2 / (n_in + n_out))


def he(n_in: int) -> float:
    return math.sqrt(2 / n_in)


@pytest.mark.parametrize(
    ("config", "name", "deviation"),
    [
        (TransformerConfig(), "query_key_value.weight_IO", 0.0625),
        (TransformerConfig(), "merge.weight_IO", xavier(128, 128)),
        (TransformerConfig(), "feed_forward.expand.weight_IO", he(128)),
        (TransformerConfig(), "feed_forward.contract.weight_IO", he(512)),
        (TransformerConfig(), "hidden.weight_IO", he(128)),
        (TransformerConfig(), "output.weight_IO", xavier(256, 4)),
        (PrediNetConfig(), "key.weight_IO", xavier(129, 16)),
        (PrediNetConfig(), "query_1.weight_IO", xavier(9 * 129, 512)),
        (PrediNetConfig(), "query_2.weight_IO", xavier(9 * 129, 512)),
        (PrediNetConfig(), "compared.weight_IO", xavier(129, 16)),
        (PrediNetConfig(), "hidden.weight_IO", he(576)),
        (PrediNetConfig(), "output.weight_IO", xavier(8, 4)),
        (AbstractorConfig(), "symbols_TZ", 1.0),
        (AbstractorConfig(), "relations.query.weight_IO", xavier(128, 128)),
        (AbstractorConfig(), "relations.key.weight_IO", xavier(128, 128)),
        (AbstractorConfig(), "messages.value.weight_IO", xavier(128, 128)),
        (AbstractorConfig(), "messages.merge.weight_IO", xavier(128, 128)),
        (AbstractorConfig(), "feed_forward.expand.weight_IO", he(128)),
        (AbstractorConfig(), "feed_forward.contract.weight_IO", he(512)),
        (AbstractorConfig(), "hidden.weight_IO", he(9 * 128)),
        (AbstractorConfig(), "output.weight_IO", xavier(256, 4)),
        (SimpleAbstractorConfig(), "relations.query.weight_IO", xavier(128, 64)),
        (SimpleAbstractorConfig(), "relations.key.weight_IO", xavier(128, 64)),
        (SimpleAbstractorConfig(), "messages.weight_HZP", xavier(128, 32)),
    ],
)
def test_weights_start_with_the_deviation_of_their_role(config: Config, name: str, deviation: float) -> None:
    weights = build(config, "distribution_of_three").get_parameter(name).detach()
    n = weights.numel()
    assert abs(float(weights.mean())) < 4.5 * deviation / math.sqrt(n)
    assert abs(float(weights.std()) / deviation - 1) < 4.5 / math.sqrt(2 * n)


@pytest.mark.parametrize("name", [name for name in CONFIGS if "corelnet" not in name])
def test_biases_start_at_zero_and_gains_at_one(name: str) -> None:
    for parameter, tensor in build(CONFIGS[name], "rmts").named_parameters():
        if "bias" in parameter:
            assert not tensor.any(), parameter
        elif parameter.endswith("norm.weight"):
            assert (tensor == 1).all(), parameter


@pytest.mark.parametrize(("layer", "fan_in"), [("hidden", 45), ("output", 256)])
def test_corelnet_starts_uniform_within_one_over_the_root_of_the_fan(layer: str, fan_in: int) -> None:
    core, bound = build(CoRelNetConfig(), "distribution_of_three"), 1 / math.sqrt(fan_in)
    weights, bias = (core.get_parameter(f"{layer}.{name}").detach() for name in ("weight_IO", "bias_O"))
    assert weights.abs().max() <= bound
    assert abs(float(weights.std()) / (bound / math.sqrt(3)) - 1) < 0.05
    assert 0 < bias.abs().max() <= bound


@EACH_CONFIG
def test_seeds_differ_and_a_seed_repeats_in_every_drawn_parameter(config: Config) -> None:
    one, again, other = (dict(build(config, "rmts", seed).named_parameters()) for seed in (3, 3, 4))
    for name, tensor in one.items():
        assert torch.equal(tensor, again[name]), name
        if tensor.unique().numel() > 1:
            assert not torch.equal(tensor, other[name]), name


def test_abstractor_variants_share_the_initial_weights_of_a_seed() -> None:
    free, tied = (build(AbstractorConfig(tied=tied), "rmts").state_dict() for tied in (False, True))
    assert free.keys() - tied.keys() == {"relations.query.bias_O", "relations.key.weight_IO"}
    for name, tensor in tied.items():
        assert torch.equal(tensor, free[name]), name


# Refusals


@pytest.mark.parametrize(
    ("config", "setting", "message"),
    [
        (TransformerConfig, {"heads": 0}, "heads=0 must be a whole number of at least 1"),
        (PrediNetConfig, {"key_size": 1.5}, "key_size=1.5 must be"),
        (CoRelNetConfig, {"variant": "asym"}, "variant='asym' is unknown; choose one of causal, full, no_softmax"),
        (AbstractorConfig, {"activation": "relu"}, "activation='relu' is unknown; choose one of softmax, sigmoid"),
        (AbstractorConfig, {"tied": "yes"}, "tied='yes' must be true or false"),
        (TransformerConfig, {"final_norm": 0}, "final_norm=0 must be true or false"),
        (AbstractorConfig, {"symbols": "retrieved"}, "symbols='retrieved' is unknown; choose one of learned, fixed"),
        (AbstractorConfig, {"head": "sum"}, "head='sum' is unknown; choose one of flatten, mean"),
    ],
)
def test_config_refuses_a_wrong_setting(config: type[Config], setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**setting)


def test_simple_abstractor_refuses_heads_that_do_not_divide_the_embedding() -> None:
    with pytest.raises(ConfigError, match="heads=3 must divide the embedding size 128"):
        build(SimpleAbstractorConfig(heads=3), "rmts")
