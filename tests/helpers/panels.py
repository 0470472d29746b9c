"""What a figure shows, found by the ``gid`` of its artists."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text


def lines(place: Figure | Axes, gid: str) -> list[Line2D]:
    found = place.findobj(lambda artist: isinstance(artist, Line2D) and artist.get_gid() == gid)
    return [line for line in found if isinstance(line, Line2D)]


def points(place: Figure | Axes, gid: str) -> np.ndarray:
    """[N, 2] finite points of all lines with this gid."""
    xy_N2 = np.concatenate([line.get_xydata() for line in lines(place, gid)])
    return xy_N2[np.isfinite(xy_N2).all(axis=1)]


def notes(figure: Figure) -> str:
    (text,) = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_gid() == "notes")
    assert isinstance(text, Text)
    return " ".join(text.get_text().split())


def scatter(panel: Axes, gid: str) -> np.ndarray:
    (found,) = [c for c in panel.collections if isinstance(c, PathCollection) and c.get_gid() == gid]
    return np.asarray(found.get_offsets())
