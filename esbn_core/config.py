"""Frozen configs of one trial: their checks, the paper's protocol and the trial's identity. No torch.

`TrialConfig` is open: ``None`` means "as in the paper". `TrialConfig.resolve` turns it into a `ResolvedTrial`, in which
every setting has a value. Only a resolved trial has an identity and can be trained.
"""

import dataclasses
import difflib
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, get_args

from esbn_core import baseline_configs as baselines
from esbn_core import counts, protocol
from esbn_core.baseline_configs import GateInit
from esbn_core.errors import ConfigError, is_number, require_at_least, require_choice, require_flag, shown
from esbn_core.own_model import OwnModel, own_model
from esbn_core.vocabulary import BASELINE

Encoder = Literal["conv", "mlp", "random", "conv_unpadded"]
TCN = Literal["none", "sequence", "segmented"]
Confidence = Literal["on", "off", "default_memory"]
Retrieval = Literal["plain", "scaled", "tied", "free"]
LeakInto = Literal["controller", "key", "output"]
Sampling = Literal["balanced", "as_released"]
Output = Literal["softmax", "sigmoid"]
Precision = Literal["float32", "bf16"]

Kind = TypeVar("Kind")

IDENTITY_VERSION = 2  # increase when a change to tasks, models or trainer makes earlier results incomparable


def _model(name: Any) -> Any:
    """Returns the default config of a model, or of `module:Class`."""
    if isinstance(name, str) and ":" in name:
        others = (TaskConfig, TrainConfig, TrialConfig)
        model = own_model(name, reserved={f.name for config in others for f in dataclasses.fields(config)})
        try:
            hash(model)
            json.dumps(_settings(model))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"model={name!r} has a default that cannot be stored ({error}); numbers, text, true, false, None and "
                "tuples of these can"
            ) from None
        return model
    require_choice("model", name, tuple(MODEL_CONFIGS))
    return MODEL_CONFIGS[name]()


def _changed(model: Any, changes: Mapping[str, Any]) -> Any:
    """Returns the config of a model with some settings changed; a user's model may raise any exception."""
    try:
        return dataclasses.replace(model, **changes)
    except Exception as error:
        if isinstance(error, ConfigError) or ":" not in model.name:
            raise
        what = ", ".join(f"{name}={shown(value)}" for name, value in changes.items())
        raise ConfigError(f"{what} is refused by model={model.name!r}: {type(error).__name__}: {error}") from None


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _settings(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in _names(type(config))}


def _as(kind: type[Kind], config: Any, **changes: Any) -> Kind:
    """Makes a config of this kind from the settings of another, with some changed."""
    return kind(**{**_settings(config), **changes})


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskConfig:
    """A task, its objects and the sizes of its problem sets (paper section 3.1, Tables 1-4)."""

    name: str = "same_different"
    withheld: int = 0
    """m, the number of objects kept out of training; for m > 0, test problems show only these."""
    n_objects: int = 100
    images: str = "glyphs"
    """The 100 rendered characters, or the hash of the user's images."""
    n_train: int | None = None
    """Training problems; None: the paper's min(10,000, all possible)."""
    n_test: int | None = None
    sampling: Sampling = "balanced"
    """How training problems of rmts are drawn. balanced: half have a "same" source pair. as_released, as in the
    released code at m = 85: uniformly from all possible problems, so that 1 in k - 3 has a "same" source pair (k:
    objects kept for training)."""
    validation: int | None = None
    """None: the trained network is tested. A number: it is validated and never sees a test problem. That many training
    objects are held out of training and shown in the validation problems; 0: some of the training problems are held
    out instead."""

    def __post_init__(self) -> None:
        require_choice("task", self.name, tuple(counts.SPECS))
        require_choice("sampling", self.sampling, get_args(Sampling))
        if self.sampling != "balanced" and (self.name != "rmts" or not self.withheld):
            raise ConfigError(
                f"sampling={self.sampling!r} is defined for rmts with withheld > 0 only, not for {self.name} with "
                f"withheld={self.withheld}"
            )
        for name, least in (("withheld", 0), ("n_objects", 1)):
            require_at_least(name, getattr(self, name), least)
        for name, least in (("n_train", 1), ("n_test", 1), ("validation", 0)):
            require_at_least(name, getattr(self, name), least, optional=True)
        if self.validation is not None and self.sampling != "balanced":
            raise ConfigError(f"validation={self.validation} needs sampling='balanced', not {self.sampling!r}")
        if self.validation and not self.withheld:
            raise ConfigError(
                f"validation={self.validation} must be 0 with withheld=0, which holds out problems, not objects"
            )

    @property
    def spec(self) -> counts.TaskSpec:
        """Steps, choices and windows of the task."""
        return counts.SPECS[self.name]

    def resolve(self) -> "ResolvedTask":
        """Fills in the sizes; raises `ConfigError` if there are too few objects."""
        n_train, n_test = counts.sizes(self.name, self.n_objects, self.withheld, self.n_train, self.n_test)
        if self.sampling == "as_released":
            unique = counts.rmts_unique(self.n_objects - self.withheld)
            n_train = self.n_train or min(counts.CAP, unique)
            if n_train > unique:
                raise ConfigError(f"n_train={n_train} is more than the {unique} problems of sampling={self.sampling!r}")
        if self.validation is not None:
            counts.validation_sizes(self.name, self.n_objects - self.withheld, self.validation, n_train)
        return _as(ResolvedTask, self, n_train=n_train, n_test=n_test)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTask(TaskConfig):
    """A task whose sizes have been checked."""

    n_train: int = field()  # removes the default None
    n_test: int = field()


@dataclass(frozen=True, kw_only=True, slots=True)
class ESBNConfig:
    """The ESBN core (paper section 3.2): an LSTM controller and a two-column memory."""

    name: ClassVar[str] = "esbn"
    confidence: Confidence = "on"
    """Confidence inputs: on, off (Table 19), or off with a learned default memory entry (Table 20)."""
    key_size: int = 256
    hidden_size: int = 512
    gate_init: GateInit = "joint"
    retrieval: Retrieval = "plain"
    """How embeddings are compared. plain: dot product, as in the paper; scaled: divided by sqrt(embedding size); tied,
    free: scaled, after one learned map for both sides, or one map for each."""
    leak: float | Literal["learned"] = 0.0
    """Strength, 0 to 1, of a learned path from the embedding past the memory; 0: no such path, as in the paper."""
    leak_into: LeakInto = "controller"
    """What the path adds to: gates of the controller, the written key, or the logits."""
    leak_penalty: float = 0.0
    """Weight in the objective of the mean square of the leak."""
    leak_bound: bool = False
    """Whether the root mean square of the leak is limited to its strength."""

    def __post_init__(self) -> None:
        named = {"confidence": Confidence, "gate_init": GateInit, "retrieval": Retrieval, "leak_into": LeakInto}
        for name, kind in named.items():
            require_choice(name, getattr(self, name), get_args(kind))
        require_at_least("key_size", self.key_size, 1)
        require_at_least("hidden_size", self.hidden_size, 1)
        if self.leak != "learned":
            if not (is_number(self.leak) and 0 <= self.leak <= 1):
                raise ConfigError(f"leak={shown(self.leak)} must be a number from 0 to 1, or learned")
            object.__setattr__(self, "leak", self.leak + 0.0)  # 1 and 1.0 are one trial, and so are 0.0 and -0.0
        if not (is_number(self.leak_penalty) and self.leak_penalty >= 0):
            raise ConfigError(f"leak_penalty={shown(self.leak_penalty)} must be a number of at least 0")
        object.__setattr__(self, "leak_penalty", self.leak_penalty + 0.0)
        require_flag("leak_bound", self.leak_bound)
        for name, default in (("leak_into", "controller"), ("leak_penalty", 0), ("leak_bound", False)):
            if not self.leak and getattr(self, name) != default:
                raise ConfigError(f"{name}={getattr(self, name)!r} needs a leak; set leak, or leave {name} out")


ModelConfig = (
    ESBNConfig
    | baselines.LSTMConfig
    | baselines.NTMConfig
    | baselines.MNMConfig
    | baselines.RNConfig
    | baselines.TRNConfig
    | baselines.TransformerConfig
    | baselines.PrediNetConfig
    | baselines.CoRelNetConfig
    | baselines.AbstractorConfig
    | baselines.SimpleAbstractorConfig
)
MODEL_CONFIGS = {config.name: config for config in get_args(ModelConfig)}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The optimiser's settings (paper section 4.1); Adam, cross-entropy, no schedule."""

    learning_rate: float | None = None
    """Adam step size; None: the paper's for this model and TCN (Table 5)."""
    batch_size: int = 32
    epochs: int | None = None
    """Passes over the training problems; None: the paper's for this model, task and m (Tables 6-8)."""
    updates: int | None = None
    """Optimiser steps. Give this or `epochs`, not both."""
    precision: Precision = "float32"
    """Precision of convolutions and of products with weights. All else, including weights and updates, is float32."""

    def __post_init__(self) -> None:
        require_at_least("batch_size", self.batch_size, 1)
        require_choice("precision", self.precision, get_args(Precision))
        for name in ("epochs", "updates"):
            require_at_least(name, getattr(self, name), 1, optional=True)
        rate = self.learning_rate
        if rate is not None and not (is_number(rate) and 0 < rate < 1):
            raise ConfigError(f"learning_rate={shown(rate)} must be a number between 0 and 1 (the paper's is 5e-4)")
        if self.epochs is not None and self.updates is not None:
            raise ConfigError(
                f"epochs={self.epochs} and updates={self.updates} both set the length of training; give one"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTrain(TrainConfig):
    """The optimiser's settings, all with values; the length is in updates."""

    learning_rate: float = field()
    updates: int = field()


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """One network to train: a task, a model, a training protocol and a seed."""

    task: TaskConfig = field(default_factory=TaskConfig)
    model: ModelConfig | OwnModel = field(default_factory=ESBNConfig)
    encoder: Encoder = "conv"
    tcn: TCN | None = None
    """Temporal context normalisation; None: the task's default (segmented for rmts, else sequence)."""
    embedding_size: int = 128
    output: Output = "softmax"
    """One logit per choice; or, for tasks with two choices, one sigmoid unit, as in the paper's text."""
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0
    rehearsal: bool = False
    """Marks a dry run whose training was cut short; it never enters a table."""

    def __post_init__(self) -> None:
        require_choice("encoder", self.encoder, get_args(Encoder))
        if self.tcn is not None:
            require_choice("tcn", self.tcn, get_args(TCN))
        if self.tcn == "segmented" and not self.task.spec.segmented:
            raise ConfigError(f"tcn='segmented' is defined for rmts only; {self.task.name} takes none or sequence")
        require_flag("rehearsal", self.rehearsal)
        require_choice("output", self.output, get_args(Output))
        if self.output == "sigmoid" and self.task.spec.n_choices != 2:
            n_choices = self.task.spec.n_choices
            raise ConfigError(f"output='sigmoid' is for tasks with two choices; {self.task.name} has {n_choices}")
        require_at_least("embedding_size", self.embedding_size, 1)
        require_at_least("seed", self.seed, 0)

    def with_(self, /, **changes: Any) -> "TrialConfig":
        """Returns an open copy with some fields changed, named as in the Parquet columns.

        ``PAPER.with_(task="rmts", withheld=95, confidence="off")``. Changing ``model`` starts from that model's
        defaults; ``module:Class`` names a user's model (`own_model`). Raises `ConfigError` for an unknown field or an
        invalid value.
        """
        model: Any = _model(changes.pop("model")) if "model" in changes else self.model
        owner = _owners(type(model))
        updates: dict[str, dict[str, Any]] = {"task": {}, "model": {}, "train": {}, "": {}}
        for name, value in changes.items():
            if name not in owner:
                close = difflib.get_close_matches(name, owner, 1)
                hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(owner))}"
                raise ConfigError(f"{name}={shown(value)}: model {model.name} has no setting {shown(name)}; {hint}")
            updates[owner[name]]["name" if name == "task" else name] = value
        task = _as(TaskConfig, self.task, **updates["task"])
        model = _changed(model, updates["model"])
        train = _as(TrainConfig, self.train, **updates["train"])
        return _as(TrialConfig, self, task=task, model=model, train=train, **updates[""])

    def resolve(self) -> "ResolvedTrial":
        """Fills in the paper's protocol for this task, m and model; raises `ConfigError` if that is impossible."""
        task = self.task.resolve()
        tcn = self.tcn or ("segmented" if task.spec.segmented else "sequence")
        rate = self.train.learning_rate or protocol.learning_rate(self.model.name, task.name, tcn)
        updates = self.train.updates
        if updates is None:
            epochs = self.train.epochs or protocol.epochs(self.model.name, task.name, task.withheld)
            updates = epochs * -(-task.n_train // self.train.batch_size)
            if updates >= 2**31:
                raise ConfigError(
                    f"epochs={epochs} makes {updates:,} updates; choose fewer, for less than 2^31 updates"
                )
        train = _as(ResolvedTrain, self.train, learning_rate=float(rate), epochs=None, updates=updates)
        return _as(ResolvedTrial, self, task=task, tcn=tcn, train=train)

    def flat(self) -> dict[str, Any]:
        """Returns the settings by column name; `epochs` is left out, since a resolved config counts updates."""
        task, model, train = (_settings(part) for part in (self.task, self.model, self.train))
        del train["epochs"]
        if task["validation"] is None:  # tested trials keep the identity they had before validation existed
            del task["validation"]
        return {
            "task": task.pop("name"),
            **task,
            "model": self.model.name,
            "encoder": self.encoder,
            "tcn": self.tcn,
            "embedding_size": self.embedding_size,
            "output": self.output,
            **model,
            **({"source": self.model.source} if isinstance(self.model, OwnModel) else {}),
            **train,
            "seed": self.seed,
            "rehearsal": self.rehearsal,
        }


@functools.cache
def _owners(model: type) -> dict[str, str]:
    """Returns, for each setting's flat name, the part of the trial that holds it; empty: the trial itself."""
    parts = {"task": TaskConfig, "model": model, "train": TrainConfig}
    owners = {name: part for part, kind in parts.items() for name in _names(kind)}
    owners |= {name: "" for name in _names(TrialConfig) if name not in parts}
    owners["task"] = owners.pop("name")  # the flat name of the task's own field
    return owners


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTrial(TrialConfig):
    """One network to train, in which every setting has a value."""

    task: ResolvedTask = field()
    tcn: TCN = field()
    train: ResolvedTrain = field()

    def trial_id(self) -> str:
        """Returns the identity of the trial: a hash of its settings and seed, the same on every machine."""
        settings = {"identity_version": IDENTITY_VERSION, **self.flat()}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


PAPER = TrialConfig()
"""The paper's ESBN: convolutional encoder, TCN, confidence on."""


def arm_label(changes: Mapping[str, Any]) -> str:
    """Names an arm by its changes to the paper's ESBN: ``baseline``, ``encoder=mlp``, ``model=lstm,tcn=none``."""
    order = ["model", *(name for name in PAPER.flat() if name != "model"), "epochs"]
    names = sorted(changes, key=lambda name: order.index(name) if name in order else len(order))
    return ",".join(f"{name}={changes[name]}" for name in names) or BASELINE
