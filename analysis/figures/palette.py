"""Style and label of every arm in every figure; colours are safe for colour-blind readers.

A model has the same colour and marker everywhere, and the line style shows what an arm changes in it. Only the ESBN,
whose parts the studies compare, has a colour and marker per arm. Markers and lines distinguish arms in greyscale.
Colours: Okabe and Ito (2008) for arms of the ESBN; Tol's muted scheme, black, ochre and brown for other models.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from analysis.errors import AnalysisError
from esbn_core.vocabulary import BASELINE, arm_words

Line = str | tuple[float, Sequence[float]]  # solid, or offset and lengths of a dash pattern


class Style(NamedTuple):
    """Style and label of an arm in figures."""

    color: str
    marker: str
    line: Line
    label: str = ""


_SOLID, _DASHED, _DOTTED, _DASH_DOT = "-", (0, (5, 2)), (0, (1, 1)), (0, (6, 2, 1, 2))
_LINES = (_DASHED, _DOTTED, _DASH_DOT, (0, (10, 3)), (0, (3, 1)), (0, (6, 2, 1, 2, 1, 2)), _SOLID)

_MODELS = {
    "esbn": Style("#0072B2", "o", _SOLID, "ESBN"),
    "transformer": Style("#882255", "X", _SOLID, "Transformer"),
    "ntm": Style("#117733", "<", _SOLID, "NTM"),
    "mnm": Style("#999933", ">", _SOLID, "MNM"),
    "lstm": Style("#332288", "p", _SOLID, "LSTM"),
    "predinet": Style("#CC6677", "h", _SOLID, "PrediNet"),
    "rn": Style("#44AA99", "*", _SOLID, "Relation net"),
    "trn": Style("#AA4499", "d", _SOLID, "TRN"),
    "corelnet": Style("#000000", "$◣$", _SOLID, "CoRelNet"),
    "abstractor": Style("#DDAA33", "$♠$", _SOLID, "Abstractor"),
    "simple_abstractor": Style("#661100", "$▬$", _SOLID, "Simple Abstractor"),
}
_CHANGES = {  # as arms of the ESBN; arms of other models take only the line
    "confidence=off": Style("#D55E00", "s", _DASHED, "no confidence"),
    "confidence=default_memory": Style("#009E73", "D", _DASH_DOT, "default memory"),
    "tcn=none": Style("#E69F00", "^", _DOTTED, "no TCN"),
    "encoder=mlp": Style("#56B4E9", "v", _DASHED, "MLP encoder"),
    "encoder=random": Style("#CC79A7", "P", _DASH_DOT, "random encoder"),
}
_TEXTS = {  # labels of other changes, by word or else by key; otherwise "key value"
    "encoder=conv_unpadded": "unpadded encoder",
    "gate_init=per_gate": "gates drawn separately",
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


def step_color(step: int) -> str:
    """Returns the colour of a step of a problem, from 1."""
    return STEP_COLORS[(step - 1) % len(STEP_COLORS)]


def styles(arms: Sequence[str]) -> dict[str, Style]:
    """Returns the style of each arm of a study, in their order; all styles and labels differ.

    Models, and arms with one well-known change, have the same style in every study. The others get the remaining styles
    in the order of the study. The hash of a user's images, which all arms of a run share, does not change a style.

    Raises:
        AnalysisError: there are more arms than styles.
    """
    models = {model: style._replace(label="") for model, style in _MODELS.items()}
    taken: dict[str, Style] = {}  # without labels
    for arm in sorted(arms, key=_rank):
        model, changes = _parts(arm)
        if model not in models:  # a user's model
            models[model] = _least_used(_COLORS, taken.values())[0]._replace(line=_SOLID)
        colors = _COLORS if model == "esbn" else [models[model].color]
        wanted = _wanted(model, changes, models[model]) + _least_used(colors, taken.values())
        free = [style for style in wanted if style not in taken.values()]
        if not free:
            raise AnalysisError(f"arm={arm}: there are too many arms for distinct styles in figures; split the study")
        taken[arm] = free[0]
    labels = {arm: _label(arm) for arm in arms}
    count = Counter(labels.values())
    return {arm: taken[arm]._replace(label=labels[arm] if count[labels[arm]] == 1 else arm) for arm in arms}


def _parts(arm: str) -> tuple[str, list[str]]:
    """Returns the model of an arm and the words of its other changes."""
    models = [word.removeprefix("model=") for word in arm_words(arm) if word.startswith("model=")]
    return (models or ["esbn"])[0], [word for word in arm_words(arm) if not word.startswith("model=")]


def _drawn(changes: Sequence[str]) -> list[str]:
    """Returns the changes that have a style: all except a set of images."""
    return [word for word in changes if not word.startswith("images=")]


def _rank(arm: str) -> tuple[bool, bool]:
    """Sorts arms with a fixed style first, and among these the ones on the paper's images."""
    _, changes = _parts(arm)
    drawn = _drawn(changes)
    return not (drawn == [] or (len(drawn) == 1 and drawn[0] in _CHANGES)), drawn != changes


def _wanted(model: str, changes: Sequence[str], plain: Style) -> list[Style]:
    """Returns the styles that suit an arm, best first, given the style of its unchanged model."""
    drawn = _drawn(changes)
    known = [_CHANGES[word]._replace(label="") for word in drawn if word in _CHANGES] if len(drawn) == 1 else []
    if not drawn:
        return [plain]
    if model == "esbn":
        return known
    return [plain._replace(line=line) for line in (*(change.line for change in known), *_LINES)]


def _least_used(colors: Sequence[str], taken: Collection[Style]) -> list[Style]:
    """Returns all styles in these colours, those with markers, then colours, then lines rare in ``taken`` first."""
    used = Counter(part for style in taken for part in style)
    every = itertools.starmap(Style, itertools.product(colors, _MARKERS, _LINES))
    return sorted(every, key=lambda style: (used[style.marker], used[style.color], used[style.line]))


def _label(arm: str) -> str:
    model, changes = _parts(arm)
    if arm == BASELINE:
        return "ESBN (baseline)"
    if arm in _CHANGES:
        return _CHANGES[arm].label
    name = _MODELS[model].label if model in _MODELS else model.rpartition(":")[2]
    return ", ".join([name, *map(_text, changes)])


def _text(change: str) -> str:
    key, _, value = change.partition("=")
    if change in _CHANGES:
        return _CHANGES[change].label
    form = _TEXTS.get(change) or _TEXTS.get(key)
    text = form.format(value) if form else {"True": key, "False": f"no {key}"}.get(value, f"{key} {value}")
    return text.replace("_", " ").strip()
