"""Configs of the architectures that the ESBN is compared with. No torch.

The defaults are the paper's sizes (section 4 and appendix), so a config without arguments is the paper's model.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from esbn_core.errors import require_at_least, require_choice, require_flag

GateInit = Literal["joint", "per_gate"]
"""Initialisation of LSTM gates: i and f drawn as one matrix (joint, as in the released code), or each separately."""


def _require_sizes(config: object, *names: str) -> None:
    for name in names:
        require_at_least(name, getattr(config, name), 1)


# Recurrent and relational


@dataclass(frozen=True, kw_only=True, slots=True)
class LSTMConfig:
    """An LSTM that reads the embeddings one by one."""

    name: ClassVar[str] = "lstm"
    hidden_size: int = 512
    gate_init: GateInit = "joint"

    def __post_init__(self) -> None:
        _require_sizes(self, "hidden_size")
        require_choice("gate_init", self.gate_init, get_args(GateInit))


@dataclass(frozen=True, kw_only=True, slots=True)
class NTMConfig:
    """The Neural Turing Machine: an LSTM with one read and one write head on a memory of slots."""

    name: ClassVar[str] = "ntm"
    hidden_size: int = 512
    slots: int = 10
    slot_size: int = 256
    sharpening: bool = True
    """Whether heads sharpen their weights: in the released code, not in the paper's text."""
    gate_init: GateInit = "joint"

    def __post_init__(self) -> None:
        _require_sizes(self, "hidden_size", "slots", "slot_size")
        require_flag("sharpening", self.sharpening)
        require_choice("gate_init", self.gate_init, get_args(GateInit))


@dataclass(frozen=True, kw_only=True, slots=True)
class MNMConfig:
    """Metalearned Neural Memory with a learned local update (MNM-p): the memory is a network that learns."""

    name: ClassVar[str] = "mnm"
    hidden_size: int = 128
    """Size of all parts: controller, keys, values, output and the three layers of the memory."""

    def __post_init__(self) -> None:
        _require_sizes(self, "hidden_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class RNConfig:
    """The Relation Network: a sum over all ordered pairs of steps."""

    name: ClassVar[str] = "rn"
    hidden_size: int = 512
    relation_size: int = 256
    """Size of the relation that is summed over pairs, and of the layer after the sum."""

    def __post_init__(self) -> None:
        _require_sizes(self, "hidden_size", "relation_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class TRNConfig:
    """The Temporal Relation Network: sums over pairs and triples of steps in their order."""

    name: ClassVar[str] = "trn"
    hidden_size: int = 512
    relation_size: int = 256
    """Size of the relations that are summed over pairs and triples, and of the layers after the sums."""
    layers_after_sums: bool = False
    """A ReLU layer on each sum before they are added: in the paper's text, but not in the code behind its numbers."""

    def __post_init__(self) -> None:
        _require_sizes(self, "hidden_size", "relation_size")
        require_flag("layers_after_sums", self.layers_after_sums)


# Attention and similarity

Comparison = Literal["causal", "full", "no_softmax", "with_content", "tied", "asymmetric"]
Activation = Literal["softmax", "sigmoid", "tanh", "identity"]
Symbols = Literal["learned", "fixed"]
Pooling = Literal["flatten", "mean"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """One layer of self-attention, normalised after each residual."""

    name: ClassVar[str] = "transformer"
    heads: int = 8
    head_size: int = 16
    feedforward_size: int = 512
    hidden_size: int = 256
    """Units of the ReLU layer before the logits."""
    final_norm: bool = True
    """Whether a third layer normalisation follows: in the released code, not in the paper's text."""

    def __post_init__(self) -> None:
        _require_sizes(self, "heads", "head_size", "feedforward_size", "hidden_size")
        require_flag("final_norm", self.final_norm)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrediNetConfig:
    """PrediNet: each head attends to two steps and compares them."""

    name: ClassVar[str] = "predinet"
    heads: int = 32
    key_size: int = 16
    """Size of keys, queries and compared features."""
    hidden_size: int = 8
    """Units of the ReLU layer before the logits."""

    def __post_init__(self) -> None:
        _require_sizes(self, "heads", "key_size", "hidden_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class CoRelNetConfig:
    """CoRelNet: classifies from nothing but the similarity matrix of a problem."""

    name: ClassVar[str] = "corelnet"
    variant: Comparison = "causal"
    """Compared features and normalisation; `esbn_core.models.corelnet.CoRelNet` lists the variants."""
    hidden_size: int = 256
    """Units of the ReLU layer before the logits."""

    def __post_init__(self) -> None:
        require_choice("variant", self.variant, get_args(Comparison))
        _require_sizes(self, "hidden_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstractorConfig:
    """The Abstractor: attention among embeddings moves symbols, which are vectors bound to steps, not to problems."""

    name: ClassVar[str] = "abstractor"
    simple: ClassVar[bool] = False
    tied: bool = False
    """Whether keys and queries share one map without bias."""
    activation: Activation = "softmax"
    """Maps scores to relations."""
    symbols: Symbols = "learned"
    """One learned vector per step, or fixed sinusoids."""
    head: Pooling = "flatten"
    """Input of the output layers: all symbols concatenated, or their mean over steps."""
    heads: int = 8
    """Relations between two steps."""
    head_size: int = 16
    feedforward_size: int = 512
    hidden_size: int = 256
    """Units of the ReLU layer before the logits."""

    def __post_init__(self) -> None:
        require_flag("tied", self.tied)
        require_choice("activation", self.activation, get_args(Activation))
        require_choice("symbols", self.symbols, get_args(Symbols))
        require_choice("head", self.head, get_args(Pooling))
        _require_sizes(self, "heads", "head_size", "feedforward_size", "hidden_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class SimpleAbstractorConfig(AbstractorConfig):
    """The Abstractor with unscaled scores, symbols summed without a value map, and no residual connection."""

    name: ClassVar[str] = "simple_abstractor"
    simple: ClassVar[bool] = True
    heads: int = 4
    """Relations between two steps. Each fills an equal part of the embedding size, so this must divide it."""
