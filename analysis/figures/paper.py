"""Figures 3 to 10 of the paper from the trials of any study: the panels of each figure, and missing data."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.data.cells import load_cells
from analysis.data.curves import curves_of
from analysis.data.published import PUBLISHED_N
from analysis.data.trials import VARIANT
from analysis.errors import AnalysisError
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.curves import draw_curves, with_curves
from analysis.figures.gaps import list_gaps
from analysis.figures.palette import styles
from analysis.figures.sheet import drawing_for, save
from analysis.figures.study import save_keys, save_objects
from analysis.findings.accuracy import variant_accuracies
from esbn_core.vocabulary import BASELINE, CONDITIONS, Cell
from study.store.location import Place

_MODELS = (
    *(BASELINE, "model=transformer", "model=ntm", "model=mnm", "model=lstm"),
    *("model=predinet", "model=predinet,tcn=none", "model=rn"),
)
_ENCODERS = (
    *(BASELINE, "encoder=mlp", "encoder=random"),
    *("model=transformer", "model=transformer,encoder=mlp", "model=transformer,encoder=random"),
)
_CONFIDENCE = (BASELINE, "confidence=off", "confidence=default_memory")
_PREDINET = "PrediNet has no TCN on same/different, as in the paper."
_NO_NUMBERS = "The paper prints no numbers for this figure."


class PaperFigure(NamedTuple):
    """A figure of the paper that consists of cells."""

    name: str
    kind: str  # accuracy, bars (accuracy too) or curves
    panels: dict[str, tuple[int, ...]]  # m by task
    arms: tuple[str, ...]  # in the paper's order
    notes: tuple[str, ...]

    def cells(self) -> list[Cell]:
        """Returns all cells, panel by panel."""
        return [
            Cell(task, withheld, arm)
            for task, conditions in self.panels.items()
            for withheld in conditions
            for arm in self.arms
            if arm != _other_predinet(task)
        ]


def _other_predinet(task: str) -> str:
    """Returns the PrediNet that the paper does not plot: with TCN on same/different, without elsewhere."""
    return "model=predinet" if task == "same_different" else "model=predinet,tcn=none"


def _at_zero(*tasks: str) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(tasks, (0,))


FIGURES = (
    PaperFigure("figure3", "accuracy", CONDITIONS, _MODELS, (f"Paper: Tables 9 to 12. {_PREDINET}",)),
    PaperFigure("figure4", "curves", _at_zero(*list(CONDITIONS)[1:]), _MODELS, (_NO_NUMBERS,)),
    PaperFigure("figure5", "curves", _at_zero("same_different"), _MODELS, (f"{_NO_NUMBERS} {_PREDINET}",)),
    PaperFigure("figure6", "bars", CONDITIONS, _ENCODERS, ("Paper: Tables 15 to 18.",)),
    PaperFigure("figure7", "curves", _at_zero(*CONDITIONS), _CONFIDENCE[:2], (_NO_NUMBERS,)),
    PaperFigure("figure8", "curves", _at_zero("rmts"), _CONFIDENCE, (_NO_NUMBERS,)),
)
"""Figures 3 to 8. We had no access to the captions of Figures 4 and 7. That these are at m = 0 like Figures 5 and 8,
and the tasks of Figure 7 besides rmts, are our assumptions."""

_KEYS = Cell("distribution_of_three", 95, BASELINE)  # Figure 9

RUNS = {
    "figure3": ["architectures"],
    "figure4": ["architectures --withheld 0"],
    "figure5": ["architectures --task same_different --withheld 0"],
    "figure6": ["encoders", "transformer_encoders"],
    "figure7": ["confidence --withheld 0"],
    "figure8": ["confidence --task rmts --withheld 0"],
    "figure9": ["keys"],
    "figure10": ["quickstart"],
}
"""The smallest parts of studies that train all of a figure, as arguments of `esbn run`."""


def save_paper(
    results: Place, out: str | Path, medium: str = "paper", tell: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Writes those of Figures 3 to 10 of the paper for which the store has data.

    Uses trials of all studies, without rehearsals; a cell is complete with the paper's 10 networks. The files are named
    figure3 to figure10, and key_similarity.

    Args:
        results: folder or URI of the result store.
        out: local folder; created if it does not exist.
        medium: paper or talk.
        tell: receives a line for everything missing, incomplete or left out.
    Returns:
        The paths of the files.
    Raises:
        AnalysisError: the store has no data for any figure, or ``out`` cannot be written.
    """
    cells = [cell for figure in FIGURES for cell in figure.cells()]
    frame, rehearsed = load_cells(results, cells, PUBLISHED_N)
    if not {"completed", "doubtful"} & set(frame["status"]):
        raise AnalysisError(
            f"results={str(results)!r} has no data for Figures 3 to 10 yet; `esbn run quickstart` trains part of "
            "them in minutes, `esbn run paper` all; rehearsals do not count"
        )
    paths: list[Path] = []
    with drawing_for(medium):
        for figure in FIGURES:
            paths += _save(figure, results, frame, rehearsed, Path(out), tell)
        here = frame.loc[_among(frame, VARIANT, [_KEYS])]
        keys = save_keys(results, here, Path(out), "figure9")
        objects = save_objects(results, frame, Path(out), "figure10")
        for name, saved in (("figure9", keys), ("figure10", objects)):
            if not saved:
                tell(_not_drawn(name))
            paths += saved
    return paths


def _save(
    figure: PaperFigure, results: Place, frame: pd.DataFrame, rehearsed: pd.DataFrame, out: Path, tell: Callable
) -> list[Path]:
    here = frame.loc[_among(frame, VARIANT, figure.cells())]
    curves = curves_of(results, here) if figure.kind == "curves" else None
    if curves is not None:
        here = with_curves(here, curves)
    conditions = [(task, m) for task, withheld in figure.panels.items() for m in withheld]
    left_out = _among(rehearsed, ["task", "withheld"], conditions).sum()
    rehearsals = [f"Rehearsals at these tasks and m, left out: {left_out}."] if left_out else []
    for line in [*list_gaps(here, variant_accuracies(here), styles(figure.arms)), *rehearsals]:
        tell(f"{figure.name}: {line}")
    if "completed" not in set(here["status"]):
        tell(_not_drawn(figure.name))
        return []
    notes = [*figure.notes, *rehearsals]
    if curves is None:
        return save(draw_accuracy(here, figure.arms, notes, figure.kind == "bars"), out, figure.name)
    return save(draw_curves(here, curves, figure.arms, notes), out, figure.name)


def _not_drawn(name: str) -> str:
    runs = " and ".join(f"`esbn run {run}`" for run in RUNS[name])
    return f"{name}: not drawn; {runs} trains what it shows, with `--seeds 1` only one network for each point"


def _among(frame: pd.DataFrame, columns: list[str], values: list) -> np.ndarray:
    """Returns [N] bool, rows of the frame with one of these values in the columns."""
    return pd.MultiIndex.from_arrays([frame[column] for column in columns]).isin(values)
