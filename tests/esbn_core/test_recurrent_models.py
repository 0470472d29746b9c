"""LSTM, NTM, MNM, RN and TRN against slow implementations of their equations, counts and exact identities."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import reference_recurrent as reference
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from esbn_core.baseline_configs import LSTMConfig, MNMConfig, NTMConfig, RNConfig, TRNConfig
from esbn_core.config import TaskConfig
from esbn_core.counts import SPECS
from esbn_core.errors import ConfigError
from esbn_core.models.context_norm import context_norm
from esbn_core.models.core import Core
from esbn_core.models.encoders import ConvEncoder
from esbn_core.models.layers import position_tag
from esbn_core.models.lstm import LSTM
from esbn_core.models.mnm import MNM
from esbn_core.models.ntm import NTM
from esbn_core.models.relation_net import RelationNet
from esbn_core.models.trn import TRN
from esbn_core.objects import glyphs
from esbn_core.seeding import torch_rng
from esbn_core.tasks.build import build

TASKS = ("same_different", "rmts", "distribution_of_three")  # 2, 6 and 9 steps

SMALL = {
    "lstm": LSTMConfig(hidden_size=7),
    "ntm": NTMConfig(hidden_size=7, slots=4, slot_size=3),
    "ntm_unsharpened": NTMConfig(hidden_size=7, slots=4, slot_size=3, sharpening=False),
    "mnm": MNMConfig(hidden_size=6),
    "rn": RNConfig(hidden_size=9, relation_size=7),
    "trn": TRNConfig(hidden_size=9, relation_size=7),
    "trn_text": TRNConfig(hidden_size=9, relation_size=7, layers_after_sums=True),
}
"""Odd sizes in place of the paper's, all different."""

PAPER = {
    "lstm": LSTMConfig(),
    "ntm": NTMConfig(),
    "ntm_unsharpened": NTMConfig(sharpening=False),
    "mnm": MNMConfig(),
    "rn": RNConfig(),
    "trn": TRNConfig(),
    "trn_text": TRNConfig(layers_after_sums=True),
}

CORES: dict[type, Callable[..., Core]] = {
    LSTMConfig: LSTM,
    NTMConfig: NTM,
    MNMConfig: MNM,
    RNConfig: RelationNet,
    TRNConfig: TRN,
}

N_FEATURES = 5  # of the embeddings the small cores get

models = pytest.mark.parametrize("model", SMALL)
tasks = pytest.mark.parametrize("task", TASKS)


def build_core(config: Any, n_features: int, task: str, seed: int = 0) -> Any:
    return CORES[type(config)](config, n_features, SPECS[task], partial(torch_rng, seed))


def perturbed(config: Any, n_features: int, task: str, seed: int = 0) -> Any:
    """A core in float64 with noise on every parameter, so that no bias is 0."""
    core = build_core(config, n_features, task, seed).double()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return core


def embeddings(n_problems: int, task: str, n_features: int = N_FEATURES, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_problems, SPECS[task].n_steps, n_features, generator=generator, dtype=torch.float64)


def loss(core: Core, z_BTZ: Tensor) -> Tensor:
    logits_BC, penalty = core.with_penalty(z_BTZ)
    return F.cross_entropy(logits_BC, torch.arange(len(z_BTZ)) % 2) + penalty


def largest(tensor: Tensor) -> float:
    return float(tensor.detach().abs().max())


# The same network by the names of the equations


def equation_parameters(state: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """A core's tensors under the names of the slow implementation."""
    p: dict[str, Tensor] = {}

    def layer(name: str, own: str) -> None:
        p[f"{name}.W"], p[f"{name}.b"] = state[f"{own}.weight_IO"].T, state[f"{own}.bias_O"]

    layer("y", "output")
    if "lstm.input.bias_O" in state:
        p |= {"W_x": state["lstm.input.weight_IO"].T, "b_x": state["lstm.input.bias_O"]}
        p |= {"W_h": state["lstm.hidden.weight_IO"].T, "b_h": state["lstm.hidden.bias_O"]}
    match config:
        case NTMConfig():
            p["M"] = state["memory_MK"]
            _head_parameters(p, state, config)
        case MNMConfig():
            p |= {f"W{number + 1}": weight_HH.T for number, weight_HH in enumerate(state["start_LHH"])}
            for name, own in (("A", "interaction"), ("rate", "rate"), ("U", "expected"), ("R", "read_out")):
                layer(name, own)
        case RNConfig():
            layer("pair.1", "pairs.first")
            layer("pair.2", "pairs.second")
            layer("hidden", "hidden")
        case TRNConfig():
            layer("hidden", "hidden")
            for number, name in enumerate(("pair", "triple")):
                if f"sums.{number}.first.bias_O" in state:
                    layer(f"{name}.1", f"sums.{number}.first")
                    layer(f"{name}.2", f"sums.{number}.second")
                if f"after_sums.{number}.0.bias_O" in state:
                    layer(f"{name}.after", f"after_sums.{number}.0")
    return p


def _head_parameters(p: dict[str, Tensor], state: dict[str, Tensor], config: NTMConfig) -> None:
    address = {"k": config.slot_size, "beta": 1, "g": 1, "s": 3} | ({"e": 1} if config.sharpening else {})
    for head, more in (("read", {}), ("write", {"v": config.slot_size, "a": config.slot_size})):
        end = 0
        for name, size in (address | more).items():
            start, end = end, end + size
            p[f"{head}.{name}.W"] = state[f"{head}_head.linear.weight_IO"].T[start:end]
            p[f"{head}.{name}.b"] = state[f"{head}_head.linear.bias_O"][start:end]


def slow(p: dict[str, Tensor], config: Any, z_BTZ: Tensor, *, zeros_first: bool = False) -> tuple[Tensor, Tensor]:
    """Logits and penalty, problem by problem."""
    penalty = z_BTZ.new_zeros(())
    problems = [list(z_TZ) for z_TZ in z_BTZ]
    match config:
        case LSTMConfig():
            logits = [reference.lstm(p, z) for z in problems]
        case NTMConfig():
            logits = [reference.ntm(p, z, config.sharpening, zeros_first) for z in problems]
        case MNMConfig():
            runs = [reference.mnm(p, z) for z in problems]
            logits = [run.logits for run in runs]
            penalty = torch.stack([torch.stack(run.losses).sum() / z_BTZ.shape[1] for run in runs]).mean()
        case RNConfig():
            logits = [reference.relation_net(p, z) for z in problems]
        case _:
            logits = [reference.trn(p, z, config.layers_after_sums) for z in problems]
    return torch.stack(logits), penalty


def assert_agrees(core: Any, config: Any, z_BTZ: Tensor, **how: bool) -> None:
    """Logits, penalty and the gradients of parameters and embeddings, within 1e-9."""
    z_BTZ = z_BTZ.requires_grad_()
    names = dict(core.named_parameters())
    fast = torch.autograd.grad(loss(core, z_BTZ), [z_BTZ, *names.values()], allow_unused=True)

    copies = {name: tensor.detach().clone().requires_grad_() for name, tensor in core.state_dict().items()}
    logits_BC, penalty = slow(equation_parameters(copies, config), config, z_BTZ, **how)
    slow_loss = F.cross_entropy(logits_BC, torch.arange(len(z_BTZ)) % 2) + penalty
    wanted = torch.autograd.grad(slow_loss, [z_BTZ, *(copies[name] for name in names)], allow_unused=True)

    assert largest(core(z_BTZ) - logits_BC) < 1e-9 * max(1, largest(logits_BC))
    assert largest(core.with_penalty(z_BTZ)[1] - penalty) < 1e-9
    for name, one, other in zip(["z", *names], fast, wanted, strict=True):
        assert one is not None and other is not None, name
        assert largest(one - other) < 1e-9 * largest(other) + 1e-15, name


@models
@tasks
def test_core_agrees_with_reference(task: str, model: str) -> None:
    assert_agrees(perturbed(SMALL[model], N_FEATURES, task), SMALL[model], embeddings(3, task))


@models
def test_core_of_the_papers_sizes_agrees_with_reference(model: str) -> None:
    core = build_core(PAPER[model], 128, "rmts").double()
    assert_agrees(core, PAPER[model], embeddings(2, "rmts", 128))


@tasks
def test_ntm_agrees_with_reference_on_zero_embeddings(task: str) -> None:
    """Unperturbed: the biases are 0, so the keys of a problem of zeros are 0 at the first step."""
    core = build_core(SMALL["ntm"], N_FEATURES, task).double()
    z_BTZ = embeddings(3, task)
    z_BTZ[1] = 0
    assert_agrees(core, SMALL["ntm"], z_BTZ)


@tasks
def test_ntm_interpolating_with_weights_of_zero_at_first_is_the_ntm(task: str) -> None:
    core = perturbed(SMALL["ntm"], N_FEATURES, task)
    assert_agrees(core, SMALL["ntm"], embeddings(3, task), zeros_first=True)


# Counts


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("lstm", (1_513_698, 1_513_698, 1_514_724)),
        ("ntm", (2_572_014, 2_572_014, 2_573_040)),
        ("ntm_unsharpened", (2_572_014 - 2 * 513, 2_572_014 - 2 * 513, 2_573_040 - 2 * 513)),
        ("mnm", (544_355, 544_355, 544_613)),
        ("rn", (528_098, 528_098, 528_612)),
        ("trn", (528_098, 858_082, 858_596)),
        ("trn_text", (528_098 + 65_792, 858_082 + 131_584, 858_596 + 131_584)),
    ],
)
def test_core_has_the_parameters_of_the_paper(model: str, expected: tuple[int, ...]) -> None:
    encoder_and_norm = 197_600 + 256
    for task, count in zip(TASKS, expected, strict=True):
        core = build_core(PAPER[model], 128, task)
        assert sum(p.numel() for p in core.parameters()) == count - encoder_and_norm, task


# Every network trains, alone, in a batch of one and in a pack


@models
@tasks
def test_every_parameter_gets_a_gradient(task: str, model: str) -> None:
    core = perturbed(SMALL[model], N_FEATURES, task)
    loss(core, embeddings(3, task)).backward()
    for name, parameter in core.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize(("task", "used"), [("same_different", False), ("rmts", True)])
@pytest.mark.parametrize("head", ["read_head", "write_head"])
def test_interpolation_gates_of_the_ntm_act_from_a_heads_second_use_on(head: str, task: str, used: bool) -> None:
    core = perturbed(SMALL["ntm"], N_FEATURES, task)
    loss(core, embeddings(3, task)).backward()
    gate = SMALL["ntm"].slot_size + 1
    linear = getattr(core, head).linear
    for column in range(linear.bias_O.numel()):
        expected = used or column != gate
        assert bool(linear.weight_IO.grad[:, column].any()) == expected, column
        assert bool(linear.bias_O.grad[column]) == expected, column


@models
@tasks
def test_a_batch_of_one_gets_the_logits_of_the_full_batch(task: str, model: str) -> None:
    core = perturbed(SMALL[model], N_FEATURES, task)
    z_BTZ = embeddings(4, task)
    torch.testing.assert_close(core(z_BTZ[1:2]), core(z_BTZ)[1:2], rtol=1e-12, atol=1e-12)


@models
@tasks
def test_float32_gives_the_logits_of_float64(task: str, model: str) -> None:
    core = build_core(PAPER[model], 128, task)
    z_BTZ = embeddings(2, task, 128).float()
    single_BC, single = core.with_penalty(z_BTZ)
    double_BC, double = core.double().with_penalty(z_BTZ.double())
    assert single_BC.dtype == single.dtype == torch.float32
    assert largest(single_BC - double_BC) < 1e-5 * largest(double_BC)
    assert largest(single - double) < 1e-5


@models
@tasks
def test_a_pack_gives_each_network_its_own_loss_and_gradients(task: str, model: str) -> None:
    cores = [perturbed(SMALL[model], N_FEATURES, task, seed) for seed in range(3)]
    z_KBTZ = torch.stack([embeddings(4, task, seed=seed) for seed in range(3)])
    parameters, buffers = stack_module_state([*cores])

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], z_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        logits_BC, penalty = functional_call(_WithPenalty(cores[0]), _inside(parameters, buffers), (z_BTZ,))
        return logits_BC, F.cross_entropy(logits_BC, torch.arange(len(z_BTZ)) % 2) + penalty

    logits_KBC, loss_K = vmap(one)(parameters, buffers, z_KBTZ)
    loss_K.sum().backward()
    for k, core in enumerate(cores):
        alone = loss(core, z_KBTZ[k])
        alone.backward()
        torch.testing.assert_close(logits_KBC[k], core(z_KBTZ[k]), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(loss_K[k], alone, rtol=1e-12, atol=1e-12)
        for name, parameter in core.named_parameters():
            packed = parameters[name].grad
            assert packed is not None
            torch.testing.assert_close(packed[k], parameter.grad, rtol=1e-9, atol=1e-12, msg=name)
    assert largest(logits_KBC[0] - logits_KBC[1]) > 1e-3


class _WithPenalty(torch.nn.Module):
    """Gives `functional_call`, which calls forward, the other method of a core."""

    def __init__(self, core: Core):
        super().__init__()
        self.core = core

    def forward(self, z_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        return self.core.with_penalty(z_BTZ)


def _inside(*states: dict[str, Tensor]) -> tuple[dict[str, Tensor], ...]:
    return tuple({f"core.{name}": tensor for name, tensor in state.items()} for state in states)


@models
@tasks
def test_core_makes_its_constants_on_the_device_of_its_input(task: str, model: str) -> None:
    core = build_core(SMALL[model], N_FEATURES, task).to("meta")  # refuses tensors of other devices, as a GPU does
    logits_BC, penalty = core.with_penalty(embeddings(3, task).float().to("meta"))
    assert logits_BC.is_meta and penalty.is_meta


@models
def test_core_leaves_its_input_and_its_state_alone(model: str) -> None:
    core = perturbed(SMALL[model], N_FEATURES, "rmts")
    z_BTZ = embeddings(3, "rmts")
    before = {name: tensor.clone() for name, tensor in core.state_dict().items()}
    first_BC = core(z_BTZ)
    assert torch.equal(z_BTZ, embeddings(3, "rmts"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in core.state_dict().items())
    assert torch.equal(core(z_BTZ), first_BC)


@models
def test_only_the_mnm_has_a_penalty(model: str) -> None:
    _, penalty = perturbed(SMALL[model], N_FEATURES, "rmts").with_penalty(embeddings(3, "rmts"))
    assert (penalty > 0) == (model == "mnm")


@tasks
def test_ntm_has_finite_gradients_on_zero_embeddings_in_float32(task: str) -> None:
    core = build_core(PAPER["ntm"], 128, task)
    z_BTZ = embeddings(3, task, 128).float()
    z_BTZ[1] = 0
    z_BTZ.requires_grad_()
    loss(core, z_BTZ).backward()
    for name, tensor in [("z", z_BTZ), *core.named_parameters()]:
        assert tensor.grad is not None and tensor.grad.isfinite().all(), name


# What the equations say in special cases


def test_position_tag_appends_the_raw_step_from_zero() -> None:
    z_BTZ = embeddings(2, "rmts")
    u_BTU = position_tag(z_BTZ)
    assert torch.equal(u_BTU[..., :-1], z_BTZ)
    assert u_BTU[..., -1].tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    assert u_BTU.dtype == torch.float64


def test_lstm_answers_without_an_extra_step() -> None:
    core = perturbed(SMALL["lstm"], N_FEATURES, "same_different")
    z_BTZ = embeddings(2, "same_different")
    state = core.lstm(z_BTZ[:, 1], core.lstm(z_BTZ[:, 0], None))
    assert torch.equal(core(z_BTZ), core.output(state[0]))


def ntm_and_state(model: str) -> tuple[Any, Tensor]:
    """An NTM and four states of its controller."""
    generator = torch.Generator().manual_seed(0)
    h_BH = torch.randn(4, 7, dtype=torch.float64, generator=generator)
    return perturbed(SMALL[model], N_FEATURES, "rmts"), h_BH


ntms = pytest.mark.parametrize("model", ["ntm", "ntm_unsharpened"])


@ntms
def test_ntm_weights_of_the_slots_add_up_to_one(model: str) -> None:
    core, h_BH = ntm_and_state(model)
    first_BM, _ = core.read_head(h_BH, core.memory_MK[None], None)
    second_BM, _ = core.read_head(h_BH, core.memory_MK[None], first_BM)
    for w_BM in (first_BM, second_BM):
        torch.testing.assert_close(w_BM.sum(-1), torch.ones(4, dtype=torch.float64))
    assert largest(first_BM - second_BM) > 1e-4


@ntms
def test_ntm_head_with_previous_weights_of_zero_leaves_interpolation_out(model: str) -> None:
    core, h_BH = ntm_and_state(model)
    left_out_BM, _ = core.read_head(h_BH, core.memory_MK[None], None)
    zeros_BM, _ = core.read_head(h_BH, core.memory_MK[None], torch.zeros_like(left_out_BM))
    torch.testing.assert_close(zeros_BM, left_out_BM, rtol=0, atol=1e-12)


def test_mnm_keeps_its_starting_memory_and_does_not_train_it() -> None:
    core = build_core(PAPER["mnm"], 128, "rmts")
    state = core.state_dict()
    assert state["start_LHH"].shape == (3, 128, 128)
    assert "start_LHH" not in dict(core.named_parameters())
    other = build_core(PAPER["mnm"], 128, "rmts", seed=1)
    assert not torch.equal(other.start_LHH, core.start_LHH)
    other.load_state_dict(state)
    z_BTZ = embeddings(2, "rmts", 128).float()
    assert torch.equal(other(z_BTZ), core(z_BTZ))


@pytest.mark.parametrize("model", ["lstm", "ntm", "ntm_unsharpened", "rn", "trn", "trn_text"])
def test_other_cores_save_their_parameters_only(model: str) -> None:
    core = build_core(SMALL[model], N_FEATURES, "rmts")
    assert core.state_dict().keys() == dict(core.named_parameters()).keys()


def test_trn_of_two_steps_has_pairs_only() -> None:
    core = build_core(SMALL["trn"], N_FEATURES, "same_different")
    assert len(core.sums) == 1


@models
def test_config_refuses_sizes_below_one(model: str) -> None:
    with pytest.raises(ConfigError, match="hidden_size=0 must be a whole number of at least 1"):
        type(SMALL[model])(hidden_size=0)


def test_trn_config_refuses_a_number_for_a_switch() -> None:
    with pytest.raises(ConfigError, match="layers_after_sums=1 must be true or false"):
        TRNConfig(layers_after_sums=1)  # pyright: ignore[reportArgumentType]


def test_ntm_config_refuses_a_number_for_a_switch() -> None:
    with pytest.raises(ConfigError, match="sharpening=0 must be true or false"):
        NTMConfig(sharpening=0)  # pyright: ignore[reportArgumentType]


# Initial weights


def assert_drawn(weights: Tensor, deviation: float) -> None:
    """Mean 0 and this standard deviation, within 4.5 standard errors of normal weights."""
    n = weights.numel()
    assert abs(float(weights.mean())) < 4.5 * deviation / math.sqrt(n)
    assert abs(float(weights.std()) / deviation - 1) < 4.5 / math.sqrt(2 * n)


def xavier(n_in: int, n_out: int) -> float:
    return math.sqrt(2 / (n_in + n_out))


KEY = slice(0, 256)
WEIGHTS = [
    ("lstm", "lstm.input.weight_IO", slice(0, 1024), 0.0417),
    ("lstm", "lstm.input.weight_IO", slice(1024, 1536), 0.0932),
    ("lstm", "lstm.input.weight_IO", slice(1536, 2048), 0.0559),
    ("lstm", "output.weight_IO", slice(None), xavier(512, 4)),
    ("ntm", "lstm.input.weight_IO", slice(0, 1024), 0.0377),
    ("ntm", "lstm.input.weight_IO", slice(1024, 1536), 0.0787),
    ("ntm", "lstm.input.weight_IO", slice(1536, 2048), 0.0472),
    ("ntm", "memory_MK", slice(None), 0.0867),
    *(
        (model, f"{head}.linear.weight_IO", columns, deviation)
        for model, head in (("ntm", "read_head"), ("ntm", "write_head"))
        for columns, deviation in (
            (KEY, 5 / 3 * xavier(512, 256)),
            (slice(256, 257), math.sqrt(2 / 512)),  # strength
            (slice(257, 258), xavier(512, 1)),  # gate
            (slice(258, 261), xavier(512, 3)),  # shift
            (slice(261, 262), math.sqrt(2 / 512)),  # sharpening
        )
    ),
    ("ntm", "write_head.linear.weight_IO", slice(262, 518), xavier(512, 256)),
    ("ntm", "write_head.linear.weight_IO", slice(518, 774), 5 / 3 * xavier(512, 256)),
    ("ntm", "output.weight_IO", slice(None), xavier(512, 4)),
    ("rn", "pairs.first.weight_IO", slice(None), math.sqrt(2 / 258)),
    ("rn", "pairs.second.weight_IO", slice(None), math.sqrt(2 / 512)),
    ("rn", "hidden.weight_IO", slice(None), math.sqrt(2 / 256)),
    ("rn", "output.weight_IO", slice(None), xavier(256, 4)),
    ("trn_text", "sums.0.first.weight_IO", slice(None), math.sqrt(2 / 258)),
    ("trn_text", "sums.1.first.weight_IO", slice(None), math.sqrt(2 / 387)),
    ("trn_text", "sums.1.second.weight_IO", slice(None), math.sqrt(2 / 512)),
    ("trn_text", "after_sums.0.0.weight_IO", slice(None), math.sqrt(2 / 256)),
    ("trn_text", "after_sums.1.0.weight_IO", slice(None), math.sqrt(2 / 256)),
    ("trn_text", "hidden.weight_IO", slice(None), math.sqrt(2 / 256)),
    ("trn_text", "output.weight_IO", slice(None), xavier(256, 4)),
]


@pytest.mark.parametrize(("model", "name", "columns", "deviation"), WEIGHTS)
def test_weights_start_with_the_deviation_of_their_role(
    model: str, name: str, columns: slice, deviation: float
) -> None:
    assert_drawn(build_core(PAPER[model], 128, "distribution_of_three").state_dict()[name][:, columns], deviation)


@pytest.mark.parametrize("model", ["lstm", "ntm", "rn", "trn", "trn_text"])
def test_biases_start_at_zero(model: str) -> None:
    state = build_core(PAPER[model], 128, "rmts").state_dict()
    biases = [name for name in state if "bias" in name]
    assert biases
    assert not any(state[name].any() for name in biases)


@pytest.mark.parametrize(
    ("layer", "fan"),
    [
        ("lstm.input", 128),
        ("lstm.hidden", 128),
        ("interaction", 128),
        ("rate", 128),
        ("expected", 128),
        ("read_out", 256),
        ("output", 128),
    ],
)
def test_layers_of_the_mnm_start_uniform(layer: str, fan: int) -> None:
    state = build_core(PAPER["mnm"], 128, "distribution_of_three").state_dict()
    bound = 1 / math.sqrt(fan)
    for name in (f"{layer}.weight_IO", f"{layer}.bias_O"):
        assert largest(state[name]) <= bound
        assert state[name].any()
    assert_drawn(state[f"{layer}.weight_IO"], bound / math.sqrt(3))


def test_starting_memory_of_the_mnm_is_uniform() -> None:
    start_LHH = build_core(PAPER["mnm"], 128, "rmts").start_LHH
    assert 0.99 / math.sqrt(128) < largest(start_LHH) <= 1 / math.sqrt(128)
    assert_drawn(start_LHH, 1 / math.sqrt(3 * 128))


@cache
def glyph_embeddings(seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings of 64 problems of nine steps behind an untrained encoder and TCN, and their targets."""
    problems = build(TaskConfig(name="distribution_of_three", withheld=50, n_test=64).resolve(), seed).test
    encoder, norm = ConvEncoder(128, partial(torch_rng, seed)), context_norm("sequence", 128, 9)
    with torch.no_grad():
        z_NZ = encoder(torch.from_numpy(glyphs().scale()))
        return norm(z_NZ[torch.from_numpy(problems.indices_PT)]), torch.from_numpy(problems.targets_P)


@pytest.mark.parametrize(
    ("model", "expected", "factor"),
    [
        ("lstm", math.log(4), 1.02),
        ("ntm", math.log(4), 1.02),
        ("mnm", math.log(4), 1.02),
        ("rn", 40, 2.5),  # sums of 81 relations: 30 networks have a mean of 76 and a standard deviation of 36
        ("trn", 75, 2.5),  # 120 relations: 92, 45
    ],
)
def test_cross_entropy_before_training_is_near_that_of_the_official_code(
    model: str, expected: float, factor: float
) -> None:
    losses = []
    for seed in range(5):
        z_BTZ, targets_B = glyph_embeddings(seed)
        core = build_core(PAPER[model], 128, "distribution_of_three", seed)
        with torch.no_grad():
            losses.append(float(F.cross_entropy(core(z_BTZ), targets_B)))
    assert expected / factor < sum(losses) / len(losses) < expected * factor
