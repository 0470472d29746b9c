"""The look and the name of every arm in every figure; colours are safe for colour-blind readers.

A model has one colour and marker everywhere, and the line says what an arm changes in it. Only the ESBN, whose parts
are what studies compare, has a colour and marker per arm. Markers and lines tell arms apart in grey. Colours: Okabe and
Ito (2008) for arms of the ESBN; Tol's muted scheme, black, ochre and brown for other models.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.typing import LineStyleType

from analysis.errors import AnalysisError
from esbn_core.vocabulary import BASELINE, arm_words


class Style(NamedTuple):
    """How an arm is drawn, and what it is called, in figures."""

    color: str
    marker: str
    line: LineStyleType
    label: str


class Look(NamedTuple):
    """How an arm is drawn."""

    color: str
    marker: str
    line: LineStyleType


_SOLID, _DASHED, _DOTTED, _DASH_DOT = "-", (0, (5, 2)), (0, (1, 1)), (0, (6, 2, 1, 2))
_LINES = (_DASHED, _DOTTED, _DASH_DOT, (0, (10, 3)), (0, (3, 1)), (0, (6, 2, 1, 2, 1, 2)), _SOLID)

_MODELS = {
    "esbn": (Look("#0072B2", "o", _SOLID), "ESBN"),
    "transformer": (Look("#882255", "X", _SOLID), "Transformer"),
    "ntm": (Look("#117733", "<", _SOLID), "NTM"),
    "mnm": (Look("#999933", ">", _SOLID), "MNM"),
    "lstm": (Look("#332288", "p", _SOLID), "LSTM"),
    "predinet": (Look("#CC6677", "h", _SOLID), "PrediNet"),
    "rn": (Look("#44AA99", "*", _SOLID), "Relation net"),
    "trn": (Look("#AA4499", "d", _SOLID), "TRN"),
    "corelnet": (Look("#000000", "$◣$", _SOLID), "CoRelNet"),
    "abstractor": (Look("#DDAA33", "$♠$", _SOLID), "Abstractor"),
    "simple_abstractor": (Look("#661100", "$▬$", _SOLID), "Simple Abstractor"),
}
_CHANGES = {  # the look is that of the ESBN's arm; an arm of another model takes its line alone
    "confidence=off": (Look("#D55E00", "s", _DASHED), "no confidence"),
    "confidence=default_memory": (Look("#009E73", "D", _DASH_DOT), "default memory"),
    "tcn=none": (Look("#E69F00", "^", _DOTTED), "no TCN"),
    "encoder=mlp": (Look("#56B4E9", "v", _DASHED), "MLP encoder"),
    "encoder=random": (Look("#CC79A7", "P", _DASH_DOT), "random encoder"),
}
_TEXTS = {  # of other changes, by word or else by key; if by neither, "key value"
    "encoder=conv_unpadded": "unpadded encoder",
    "gate_init=per_gate": "gates drawn one by one",
    "leak=learned": "learned leak",
    "leak_bound=True": "bounded leak",
    "tied=True": "tied maps",
    "activation": "{} activation",
    "n_train": "{} problems",
    "output": "{} output",
    "retrieval": "{} retrieval",
    "symbols": "{} symbols",
    "updates": "{} updates",
    "variant": "{}",
}

STEP_COLORS = (  # Tol's muted scheme: nine steps of a problem, the first three far apart
    "#CC6677", "#332288", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499",
)  # fmt: skip
STEP_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")
_COLORS = (
    "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#AA4499", "#44AA99", "#882255", "#999933", "#332288",
)  # fmt: skip
_MARKERS = ("v", "P", "s", "^", "D", "X", "d", "<", "p", ">", "h", "*", "$♥$", "$◖$", "$♣$", "$▮$", "$◢$")


def styles(arms: Sequence[str]) -> dict[str, Style]:
    """The style of each arm of a study, in their order; no two have one look or one label.

    Models, and arms with one well-known change, look the same in every study. The others take what is left, by their
    order in the study. The hash of a user's own images, which all arms of a run share, changes no look.

    Raises:
        AnalysisError: there are more arms than looks.
    """
    models = {model: look for model, (look, _) in _MODELS.items()}
    looks: dict[str, Look] = {}
    for arm in sorted(arms, key=_rank):
        model, changes = _parts(arm)
        taken = list(looks.values())
        if model not in models:  # the user's own
            models[model] = _least_used(_COLORS, taken)[0]._replace(line=_SOLID)
        colors = _COLORS if model == "esbn" else [models[model].color]
        wanted = _wanted(model, changes, models[model]) + _least_used(colors, taken)
        free = [look for look in wanted if look not in taken]
        if not free:
            raise AnalysisError(f"arm={arm} is one more than figures can tell apart; split the study")
        looks[arm] = free[0]
    labels = {arm: _label(arm) for arm in arms}
    count = Counter(labels.values())
    return {arm: Style(*looks[arm], labels[arm] if count[labels[arm]] == 1 else arm) for arm in arms}


def _parts(arm: str) -> tuple[str, list[str]]:
    """The model of an arm and the words for what else it changes."""
    models = [word.removeprefix("model=") for word in arm_words(arm) if word.startswith("model=")]
    return (models or ["esbn"])[0], [word for word in arm_words(arm) if not word.startswith("model=")]


def _drawn(changes: Sequence[str]) -> list[str]:
    return [word for word in changes if not word.startswith("images=")]


def _rank(arm: str) -> tuple[bool, bool]:
    """Who chooses first: arms that look the same in every study, and of these the ones on the paper's images."""
    _, changes = _parts(arm)
    drawn = _drawn(changes)
    return not (drawn == [] or (len(drawn) == 1 and drawn[0] in _CHANGES)), drawn != changes


def _wanted(model: str, changes: Sequence[str], look: Look) -> list[Look]:
    """The looks that say what an arm is, best first, given the look of its model."""
    drawn = _drawn(changes)
    known = [_CHANGES[word][0] for word in drawn if word in _CHANGES] if len(drawn) == 1 else []
    if not drawn:
        return [look]
    if model == "esbn":
        return known
    return [look._replace(line=line) for line in (*(change.line for change in known), *_LINES)]


def _least_used(colors: Sequence[str], taken: Sequence[Look]) -> list[Look]:
    """All looks in these colours, first those whose marker, then colour, then line is rare among those taken."""
    used = Counter(part for look in taken for part in look)
    every = itertools.starmap(Look, itertools.product(colors, _MARKERS, _LINES))
    return sorted(every, key=lambda look: (used[look.marker], used[look.color], used[look.line]))


def _label(arm: str) -> str:
    model, changes = _parts(arm)
    if arm == BASELINE:
        return "ESBN (baseline)"
    if arm in _CHANGES:
        return _CHANGES[arm][1]
    name = _MODELS[model][1] if model in _MODELS else model.rpartition(":")[2]
    return ", ".join([name, *map(_text, changes)])


def _text(change: str) -> str:
    key, _, value = change.partition("=")
    if change in _CHANGES:
        return _CHANGES[change][1]
    form = _TEXTS.get(change) or _TEXTS.get(key)
    text = form.format(value) if form else {"True": key, "False": f"no {key}"}.get(value, f"{key} {value}")
    return text.replace("_", " ").strip()
