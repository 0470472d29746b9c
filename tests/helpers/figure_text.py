"""What a figure shows, in words and numbers, for comparison with a stored description: no pixel, no place that a font
moves."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text


def describe(figure: Figure) -> dict[str, Any]:
    """Size, legend, words and the panels of a figure with their artists, as values that YAML can hold."""
    return {
        "inches across": _numbers(figure.get_figwidth()),
        "legend": [entry for legend in figure.legends for entry in _entries(legend)],
        "texts": [text.get_text() for text in figure.texts],
        "panels": [_panel(panel) for panel in figure.axes],
    }


def _panel(panel: Axes) -> dict[str, Any]:
    legend = panel.get_legend()
    return {
        "titles": [text for where in ("left", "center") if (text := panel.get_title(where))],
        "x": {
            "label": panel.get_xlabel(),
            "limits": _numbers(panel.get_xlim()),
            "ticks": _ticks(panel.get_xticklabels()),
        },
        "y": {"label": panel.get_ylabel(), "limits": _numbers(panel.get_ylim())},
        "legend": _entries(legend) if legend else [],
        "lines": [_line(line) for line in panel.lines],
        "patches": [_patch(patch) for patch in panel.patches],
        "collections": [_collection(found) for found in panel.collections],
        "images": [_numbers(image.get_array()) for image in panel.images],
        "texts": [f"{text.get_text()} at {_numbers(text.get_position())}" for text in panel.texts],
    }


def _entries(legend: Legend) -> list[dict[str, Any]]:
    looks = [_look(handle) for handle in legend.legend_handles if handle is not None]
    return [{"text": text.get_text(), **look} for text, look in zip(legend.get_texts(), looks, strict=True)]


def _look(artist: Any) -> dict[str, Any]:
    if isinstance(artist, Line2D):
        marker = {"marker": str(artist.get_marker()), "size": _numbers(artist.get_markersize())}
        fill = _color(artist.get_markerfacecolor())
        return {"color": _color(artist.get_color()), "line": str(artist.get_linestyle()), "fill": fill, **marker}
    assert isinstance(artist, Patch)
    return {"color": _color(artist.get_facecolor()), "hatch": str(artist.get_hatch() or "")}


def _line(line: Line2D) -> dict[str, Any]:
    xy = {"x": _numbers(line.get_xdata()), "y": _numbers(line.get_ydata())}
    return {"shows": _shows(line), **_look(line), **xy}


def _patch(patch: Patch) -> dict[str, Any]:
    corners = patch.get_path().vertices @ patch.get_patch_transform().get_matrix()[:2, :2].T
    corners = corners + patch.get_patch_transform().get_matrix()[:2, 2]
    return {"shows": _shows(patch), **_look(patch), "from": _numbers(corners.min(0)), "to": _numbers(corners.max(0))}


def _collection(found: Any) -> dict[str, Any]:
    """Offsets of a scatter, or the ends of error bars and the outlines of bands."""
    scattered = np.ma.getdata(found.get_offsets()).reshape(-1, 2)
    paths = [path.vertices for path in found.get_paths()]
    xy = scattered if found.get_gid() else np.concatenate([*paths, np.zeros((0, 2))])
    colors = [*found.get_facecolor(), *found.get_edgecolor()]
    return {"shows": _shows(found), "color": [_color(color) for color in colors[:2]], "xy": _numbers(xy.ravel())}


def _shows(artist: Any) -> str:
    return artist.get_gid() or ""


def _ticks(labels: Iterable[Text]) -> list[str]:
    return [label.get_text() for label in labels]


def _color(color: Any) -> str:
    return color if isinstance(color, str) and color == "none" else to_hex(color, keep_alpha=True)


def _numbers(values: Any) -> str:
    """Four digits of each: what the eye cannot see, and rounding differs in, is left out."""
    return " ".join(f"{value + 0.0:.4g}" for value in np.asarray(values, float).ravel())
