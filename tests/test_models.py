"""The networks against an independent slow implementation, the specification's numbers and its exact identities."""

import dataclasses
import itertools
import math
from functools import cache

import pytest
import reference
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from esbn_core.config import PAPER, ESBNConfig, TrialConfig
from esbn_core.models.classifier import SequenceClassifier
from esbn_core.models.context_norm import ContextNorm
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


def config(task: str, seed: int = 0, small: bool = False, **changes: str) -> TrialConfig:
    """A resolved config; small: odd sizes instead of the paper's, all different."""
    sizes = {"embedding_size": 23, "key_size": 11, "hidden_size": 14} if small else {}
    return PAPER.with_(task=task, seed=seed, **changes, **sizes).resolve()


def perturbed(trial: TrialConfig, dtype: torch.dtype = torch.float64) -> SequenceClassifier:
    """A network with noise on every parameter, so that no gain is 1 and no bias 0.

    The noise goes on float32 parameters, so that a network is the same function in either precision.
    """
    model = SequenceClassifier(trial)
    generator = torch.Generator().manual_seed(trial.seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.to(dtype)


@cache
def objects(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(glyphs().scale()[:6]).to(dtype)


def reference_run(model: SequenceClassifier, trial: TrialConfig) -> tuple[reference.Run, dict[str, Tensor]]:
    """The slow network in float64 on copies of the model's tensors; also returns the copies, by the model's names."""
    names = EQUATION_NAMES | ENCODER_NAMES[trial.encoder]
    copies = {name: tensor.detach().double().requires_grad_() for name, tensor in model.state_dict().items()}
    parameters = {names[name]: copy.T if name.endswith("weight_IO") else copy for name, copy in copies.items()}
    if trial.encoder == "random":
        parameters["e1"] = torch.zeros(trial.embedding_size, dtype=torch.float64)
    assert trial.tcn is not None
    run = reference.run(
        parameters,
        objects()[torch.tensor(PROBLEMS[trial.task.name])],
        encoder=trial.encoder,
        windows=WINDOWS[trial.task.name, trial.tcn],
        confidence=trial.model.confidence,
    )
    return run, copies


def forward(model: SequenceClassifier, task: str, dtype: torch.dtype = torch.float64) -> Tensor:
    return model(objects(dtype), torch.tensor(PROBLEMS[task]))


def backward(model: SequenceClassifier, task: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Gradients of the mean cross-entropy by parameter name."""
    F.cross_entropy(forward(model, task, dtype), torch.tensor(TARGETS[task])).backward()
    return gradients(model)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert found.keys() == dict(model.named_parameters()).keys()
    return found


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of the largest entry."""
    assert ours.shape == theirs.shape
    return float((ours.double() - theirs).abs().max() / theirs.abs().max())


def joined(tensors: dict[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([tensors[name].double().flatten() for name in names])


# Agreement with the slow implementation


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn"), TASK_TCN)
def test_classifier_agrees_with_reference_in_float64(task: str, tcn: str, confidence: str, encoder: str) -> None:
    trial = config(task, small=True, tcn=tcn, confidence=confidence, encoder=encoder)
    model = perturbed(trial)
    slow, copies = reference_run(model, trial)
    F.cross_entropy(slow.logits_BC, torch.tensor(TARGETS[task])).backward()

    torch.testing.assert_close(forward(model, task), slow.logits_BC, rtol=1e-9, atol=1e-9)
    for name, gradient in backward(model, task).items():
        theirs = copies[name].grad
        assert theirs is not None, name
        torch.testing.assert_close(gradient, theirs, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(("task", "tcn"), TASK_TCN)
def test_trace_agrees_with_reference(task: str, tcn: str, confidence: str) -> None:
    trial = config(task, small=True, tcn=tcn, confidence=confidence)
    model = perturbed(trial)
    slow, _ = reference_run(model, trial)
    steps = model.core.trace(model.embed(objects(), torch.tensor(PROBLEMS[task])))

    assert len(steps) == trial.task.spec.n_steps
    for step, key_BK, read_BR in zip(steps, slow.keys, slow.reads, strict=True):
        torch.testing.assert_close(step.key_BK.expand_as(key_BK), key_BK, rtol=0, atol=1e-12)
        ours = torch.zeros_like(read_BR) if step.read is None else step.read.vector_BR.expand_as(read_BR)
        torch.testing.assert_close(ours, read_BR, rtol=0, atol=1e-12)
