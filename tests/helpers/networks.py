"""Networks, a few problems, and the slow implementation beside them, for the tests of the models."""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from esbn_core import reference
from esbn_core.config import PAPER, ESBNConfig, ResolvedTrial
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.esbn import ESBN
from esbn_core.objects import glyphs

ENCODERS = ("conv", "mlp", "random")
CONFIDENCES = ("on", "off", "default_memory")

PROBLEMS = {
    "same_different": [[2, 2], [0, 3], [3, 0], [1, 4]],
    "rmts": [[0, 0, 1, 1, 2, 3], [0, 1, 4, 4, 2, 3], [5, 2, 3, 1, 0, 0]],
    "distribution_of_three": [
        [0, 1, 2, 2, 0, 3, 2, 1, 0],
        [4, 1, 3, 4, 1, 1, 3, 5, 4],
        [2, 0, 5, 5, 2, 0, 5, 2, 1],
    ],
    "identity_rules": [
        [0, 1, 0, 2, 3, 3, 2, 1, 0],
        [4, 4, 4, 1, 1, 2, 1, 4, 0],
        [2, 5, 5, 1, 0, 0, 1, 2, 5],
    ],
}
"""A few problems over six objects, with repeated objects within and between them."""

TARGETS = {
    "same_different": [0, 1, 1, 1],
    "rmts": [0, 1, 0],
    "distribution_of_three": [2, 1, 1],
    "identity_rules": [1, 1, 0],
}

WINDOWS = {
    ("same_different", "sequence"): [[1, 2]],
    ("rmts", "sequence"): [[1, 2, 3, 4, 5, 6]],
    ("rmts", "segmented"): [[1, 2], [3, 4], [5, 6]],
    ("distribution_of_three", "sequence"): [[1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ("identity_rules", "sequence"): [[1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ("same_different", "none"): [],
    ("rmts", "none"): [],
    ("distribution_of_three", "none"): [],
    ("identity_rules", "none"): [],
}

TASK_TCN = list(WINDOWS)
TWO_STEP_WINDOWS = [("same_different", "sequence"), ("rmts", "segmented")]

EQUATION_NAMES = {
    "norm.gain_Z": "gamma",
    "norm.bias_Z": "beta",
    "core.lstm.input.weight_IO": "W_x",
    "core.lstm.input.bias_O": "b_x",
    "core.lstm.hidden.weight_IO": "W_h",
    "core.lstm.hidden.bias_O": "b_h",
    "core.key.weight_IO": "W_k",
    "core.key.bias_O": "b_k",
    "core.gate.weight_IO": "w_g",
    "core.gate.bias_O": "b_g",
    "core.output.weight_IO": "W_y",
    "core.output.bias_O": "b_y",
    "core.confidence_gain": "a",
    "core.confidence_bias": "b",
    "core.default_key_K": "k_0",
    "core.default_value_Z": "v_0",
    "core.similarities.query.weight_IO": "Q",
    "core.similarities.key.weight_IO": "K",
    "core.leak.map.weight_IO": "V",
    "core.leak.rho": "rho",
}

ENCODER_NAMES = {
    "conv": {
        "encoder.kernels.0": "E1",
        "encoder.kernels.1": "E2",
        "encoder.kernels.2": "E3",
        "encoder.layers.0.weight_IO": "E4",
        "encoder.layers.2.weight_IO": "E5",
        "encoder.biases.0": "e1",
        "encoder.biases.1": "e2",
        "encoder.biases.2": "e3",
        "encoder.layers.0.bias_O": "e4",
        "encoder.layers.2.bias_O": "e5",
    },
    "mlp": {
        "encoder.layers.0.weight_IO": "E1",
        "encoder.layers.2.weight_IO": "E2",
        "encoder.layers.4.weight_IO": "E3",
        "encoder.layers.0.bias_O": "e1",
        "encoder.layers.2.bias_O": "e2",
        "encoder.layers.4.bias_O": "e3",
    },
    "random": {"encoder.weight_IO": "E1"},
}
ENCODER_NAMES["conv_unpadded"] = ENCODER_NAMES["conv"]

RETRIEVAL_ARMS: list[dict[str, Any]] = [
    {"retrieval": retrieval, "confidence": confidence}
    for retrieval in ("scaled", "tied", "free")
    for confidence in CONFIDENCES
]

LEAK_ARMS: list[dict[str, Any]] = [
    {"leak": leak, "leak_into": into, "leak_bound": bound, "leak_penalty": 0.3}
    for into in ("controller", "key", "output")
    for bound in (False, True)
    for leak in (0.7, "learned")
]

ESBN_ARMS: list[dict[str, Any]] = [
    *RETRIEVAL_ARMS,
    *LEAK_ARMS,
    {"retrieval": "free", "confidence": "default_memory", "leak": 0.7},
]


def config(task: str, seed: int = 0, small: bool = False, **changes: Any) -> ResolvedTrial:
    """A resolved config; small: odd sizes instead of the paper's, all different."""
    sizes = {"embedding_size": 23, "key_size": 11, "hidden_size": 14} if small else {}
    return PAPER.with_(task=task, seed=seed, **changes, **sizes).resolve()


LAST_LAYER = {
    "conv": "encoder.layers.2.",
    "conv_unpadded": "encoder.layers.2.",
    "mlp": "encoder.layers.4.",
    "random": "encoder.weight_IO",
}


def perturbed(trial: ResolvedTrial, dtype: torch.dtype = torch.float64, quiet: bool = False) -> SequenceClassifier:
    """A network with noise on every parameter, so that no gain is 1 and no bias 0.

    The noise goes on float32 parameters, so that a network is the same function in either precision. Quiet networks
    have embeddings so small that nothing saturates: without TCN dot products are of order 100, in two-step windows
    normalised features are +-1/sqrt(2) whatever the image, and the gradients behind them vanish. The map of a leak is
    scaled so that a bound acts on some steps and not on others.
    """
    model = SequenceClassifier(trial)
    generator = torch.Generator().manual_seed(trial.seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        for name, tensor in model.state_dict().items():
            if quiet and name.startswith(LAST_LAYER[trial.encoder]):
                tensor *= 0.1 if trial.tcn == "none" else 1e-3
        model = model.to(dtype)
        if isinstance(model.core, ESBN) and model.core.leak is not None:
            rms_BT = unbounded_rms(model, trial.task.name, dtype)
            model.core.leak.map.weight_IO.div_(0.99 * rms_BT.mean())  # 0.99: no kink where all steps leak alike
    return model


def unbounded_rms(model: SequenceClassifier, task: str, dtype: torch.dtype = torch.float64) -> Tensor:
    """Root mean square over units of V z_t, or [B, 1] of V times all z_t joined."""
    leak = memory(model).leak
    assert leak is not None
    z_BTZ = model.embed(objects(dtype), torch.tensor(PROBLEMS[task]))
    return leak.map(z_BTZ.flatten(1)[:, None] if leak.into == "output" else z_BTZ).square().mean(-1).sqrt()


@cache
def objects(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(glyphs().scale()[:6]).to(dtype)


def reference_run(
    model: SequenceClassifier, trial: ResolvedTrial, dtype: torch.dtype = torch.float64
) -> tuple[reference.Run, dict[str, Tensor]]:
    """The slow network on copies of the model's tensors; also returns the copies, by the model's names."""
    names = EQUATION_NAMES | ENCODER_NAMES[trial.encoder]
    copies = {
        name: tensor.detach().to(dtype, copy=True).requires_grad_() for name, tensor in model.state_dict().items()
    }
    parameters = {names[name]: copy.T if name.endswith("weight_IO") else copy for name, copy in copies.items()}
    if trial.encoder == "random":
        parameters["e1"] = torch.zeros(trial.embedding_size, dtype=dtype)
    assert trial.tcn is not None and isinstance(trial.model, ESBNConfig)
    run = reference.run(
        parameters,
        objects(dtype)[torch.tensor(PROBLEMS[trial.task.name])],
        encoder=trial.encoder,
        windows=WINDOWS[trial.task.name, trial.tcn],
        confidence=trial.model.confidence,
        retrieval=trial.model.retrieval,
        leak=reference.Leak(trial.model.leak, trial.model.leak_into, trial.model.leak_bound),
    )
    return run, copies


def memory(model: SequenceClassifier) -> ESBN:
    assert isinstance(model.core, ESBN)
    return model.core


def forward(model: SequenceClassifier, task: str, dtype: torch.dtype = torch.float64) -> Tensor:
    return model(objects(dtype), torch.tensor(PROBLEMS[task]))


def backward(model: SequenceClassifier, task: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Gradients of the mean cross-entropy plus penalty by parameter name."""
    logits_BC, penalty = model(objects(dtype), torch.tensor(PROBLEMS[task]), with_penalty=True)
    (F.cross_entropy(logits_BC, torch.tensor(TARGETS[task])) + penalty).backward()
    return gradients(dict(model.named_parameters()))


def gradients(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those that the last backward pass left; every parameter must have one."""
    found = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    assert found.keys() == parameters.keys()
    return found


def reference_backward(
    model: SequenceClassifier, trial: ResolvedTrial, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of the slow network, and its gradients by the model's parameter names."""
    run, copies = reference_run(model, trial, dtype)
    penalty = trial.flat()["leak_penalty"] * run.leak_penalty() if run.leaked else 0
    (F.cross_entropy(run.logits_BC, torch.tensor(TARGETS[trial.task.name])) + penalty).backward()
    return run.logits_BC.detach(), gradients({name: copies[name] for name, _ in model.named_parameters()})


def largest(tensor: Tensor) -> float:
    return float(tensor.detach().abs().max())


def assert_agrees_with_reference(trial: ResolvedTrial) -> None:
    task, model = trial.task.name, perturbed(trial, quiet=True)
    slow_BC, slow_gradients = reference_backward(model, trial)

    assert largest(forward(model, task) - slow_BC) < 1e-9
    assert_gradients_agree(backward(model, task), slow_gradients)


def assert_gradients_agree(fast: dict[str, Tensor], slow: dict[str, Tensor]) -> None:
    assert fast.keys() == slow.keys()
    for name, gradient in fast.items():
        # 1e-15: where the exact gradient is zero, the slow way leaves rounding
        assert largest(gradient - slow[name]) < 1e-9 * largest(slow[name]) + 1e-15, name


FLOAT32_CASES = [
    *((task, tcn, "conv") for task, tcn in TASK_TCN if task != "identity_rules"),
    *((task, tcn, "random") for task, tcn in TWO_STEP_WINDOWS),
    ("distribution_of_three", "sequence", "mlp"),
    ("distribution_of_three", "none", "mlp"),
]


def assert_trace_agrees_with_reference(trial: ResolvedTrial) -> None:
    task, model = trial.task.name, perturbed(trial)
    slow, _ = reference_run(model, trial)
    steps = memory(model).trace(model.embed(objects(), torch.tensor(PROBLEMS[task])))

    assert len(steps) == trial.task.spec.n_steps
    for step, key_BK, read_BR in zip(steps, slow.keys, slow.reads, strict=True):
        torch.testing.assert_close(step.key_BK.expand_as(key_BK), key_BK, rtol=0, atol=1e-12)
        ours = torch.zeros_like(read_BR) if step.read is None else step.read.vector_BR.expand_as(read_BR)
        torch.testing.assert_close(ours, read_BR, rtol=0, atol=1e-12)


# Initial weights


def assert_drawn(weights: Tensor, deviation: float) -> None:
    """Mean 0 and this standard deviation, within 4.5 standard errors."""
    n = weights.numel()
    assert abs(float(weights.mean())) < 4.5 * deviation / math.sqrt(n)
    assert abs(float(weights.std()) / deviation - 1) < 4.5 / math.sqrt(2 * n)
