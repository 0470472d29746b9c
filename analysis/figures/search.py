"""Figures of a search: history, importances, slices, and parallel coordinates."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.searches import Search, measured
from analysis.figures.plotting import Axes, Figure, Normalize, ScalarMappable, colormaps
from analysis.figures.sheet import save, with_settings

_MARKS = {"completed": ("o", "#0072B2"), "pruned": ("x", "#D55E00")}  # marker and colour; distinct in greyscale, too


def save_all(search: Search, frame: pd.DataFrame, evaluator: str, update: int | None, out: str | Path) -> list[Path]:
    """Writes the figures of a search as PNG, SVG and PDF into a folder, and returns their paths.

    Args:
        frame: rows of `importances`, with the same evaluator and update.
    Raises:
        AnalysisError: the folder cannot be written.
    """
    figures = {
        "history": draw_history(search),
        "importance": draw_importance(frame, evaluator, len(measured(search, update))),
        "slices": draw_slices(search, update),
        "parallel": draw_parallel(search, update),
    }
    return [path for kind, figure in figures.items() for path in save(figure, out, f"{search.about['search']}-{kind}")]


@with_settings
def draw_history(search: Search) -> Figure:
    """Draws the accuracy of each suggestion in order, and the best completed so far."""
    frame = measured(search)
    figure, panel = _figure(1)
    _scatter(panel[0], frame, frame["suggestion"].to_numpy())
    completed = frame.loc[frame["status"] == "completed"]
    best = 100 * completed["score"].cummax()
    panel[0].step(completed["suggestion"], best, where="post", color="0.4", label="best completed so far", gid="best")
    panel[0].set(xlabel="suggestion", ylabel=_label(search))
    panel[0].legend()
    return figure


@with_settings
def draw_importance(frame: pd.DataFrame, evaluator: str, n: int) -> Figure:
    """Draws the importance of each parameter over n suggestions as a bar, with its bootstrap interval."""
    frame = frame.dropna().iloc[::-1]
    figure, panel = _figure(1)
    errors = [frame["importance"] - frame["low"], frame["high"] - frame["importance"]]
    panel[0].barh(
        frame["parameter"], frame["importance"], xerr=np.clip(errors, 0, None), color="0.7", capsize=2, gid="importance"
    )
    panel[0].set(xlabel=f"importance ({evaluator})\n95 % bootstrap interval, n = {n} suggestions", xlim=(0, 1))
    return figure


@with_settings
def draw_slices(search: Search, update: int | None) -> Figure:
    """Draws accuracy against each parameter, one panel per parameter."""
    frame = measured(search, update)
    figure, panels = _figure(len(search.distributions))
    for panel, name in zip(panels, search.distributions, strict=True):
        having = frame.loc[frame["values"].map(lambda values, name=name: name in values)]
        _scatter(panel, having, _axis(search, having, name))
        _set_axis(search, panel, name)
    panels[0].set_ylabel(_label(search, update))
    panels[0].legend()
    return figure


@with_settings
def draw_parallel(search: Search, update: int | None) -> Figure:
    """Draws a line per suggestion through its values, darker for higher accuracy; each axis spans its bounds."""
    frame = measured(search, update).sort_values("score")
    figure, (panel,) = _figure(1)
    names = list(search.distributions)
    low, high = min(frame["score"]), max(frame["score"])
    colours = colormaps["viridis_r"]
    for row in frame.to_dict("records"):
        ys = [_share(search, row["values"], name) for name in names]
        share = (row["score"] - low) / (high - low) if high > low else 1.0
        panel.plot(range(len(names)), ys, color=colours(share), linewidth=1.0, gid=f"suggestion-{row['suggestion']}")
    panel.set_xticks(range(len(names)), [f"{name}\n{_bounds(search, name)}" for name in names])
    panel.set_yticks([])
    for x in range(len(names)):
        panel.axvline(x, color="0.8", linewidth=0.8, zorder=0)
    scale = ScalarMappable(Normalize(100 * low, 100 * high), colours)
    figure.colorbar(scale, ax=panel, label=_label(search, update))
    return figure


def _figure(n_panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(max(4.5, 2.0 * n_panels + 0.6), 2.8), layout="constrained")
    return figure, list(figure.subplots(1, n_panels, sharey=True, squeeze=False)[0])


def _scatter(panel: Axes, frame: pd.DataFrame, x: np.ndarray) -> None:
    for status, (marker, color) in _MARKS.items():
        ended = (frame["status"] == status).to_numpy()
        panel.scatter(x[ended], 100 * frame["score"][ended], s=14, marker=marker, color=color, label=status, gid=status)


def _axis(search: Search, frame: pd.DataFrame, name: str) -> np.ndarray:
    values, choices = [row[name] for row in frame["values"]], search.parameters[name]["choices"]
    return np.array([choices.index(value) for value in values] if choices else values, float)


def _set_axis(search: Search, panel: Axes, name: str) -> None:
    about = search.parameters[name]
    panel.set_xlabel(name)
    if about["choices"]:
        panel.set_xticks(range(len(about["choices"])), [str(choice) for choice in about["choices"]])
        panel.set_xlim(-0.5, len(about["choices"]) - 0.5)
    elif about["log"]:
        panel.set_xscale("log")


def _share(search: Search, values: dict[str, Any], name: str) -> float:
    """Returns the position of a value between the bounds of its axis; NaN (a gap) if the parameter is inactive."""
    about = search.parameters[name]
    if name not in values:
        return np.nan
    if about["choices"]:
        return about["choices"].index(values[name]) / max(1, len(about["choices"]) - 1)
    low, high, value = (np.log(x) if about["log"] else x for x in (about["low"], about["high"], values[name]))
    return float((value - low) / (high - low))


def _bounds(search: Search, name: str) -> str:
    about = search.parameters[name]
    return ", ".join(map(str, about["choices"])) if about["choices"] else f"{about['low']:g} to {about['high']:g}"


def _label(search: Search, update: int | None = None) -> str:
    at = "" if update is None else f"at update {update}, "
    return f"validation accuracy (%)\n{at}mean of {len(search.about['seeds'])} seeds"
