"""Matplotlib and seaborn, loaded and configured independently of the user's environment and settings."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

_SETTINGS = ("MPLBACKEND", "MATPLOTLIBRC", "MPLCONFIGDIR")


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Loads both silently; ignores user settings that cannot be read.

    Such as an MPLBACKEND that is not installed, or a matplotlibrc or style sheet that is not text.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # no warnings on lines of a matplotlibrc or on an unwritable cache
    try:
        try:
            importlib.import_module("seaborn")
        except (ValueError, OSError, RuntimeError):
            _load_without_settings()
        yield
    finally:
        logger.setLevel(level)


def _load_without_settings() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("matplotlib", "seaborn")]:
        del sys.modules[name]  # half loaded
    hidden = {name: os.environ.pop(name) for name in _SETTINGS if name in os.environ}
    try:
        with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
            os.environ["MPLCONFIGDIR"] = empty
            importlib.import_module("seaborn")
    finally:
        os.environ.pop("MPLCONFIGDIR", None)
        os.environ.update(hidden)


with _loading():
    import matplotlib
    import seaborn
    from matplotlib import colormaps
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_hex, to_rgb
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle
    from matplotlib.patheffects import withStroke

__all__ = [
    "Artist",
    "Axes",
    "ConstrainedLayoutEngine",
    "Figure",
    "Line2D",
    "Normalize",
    "Patch",
    "Rectangle",
    "ScalarMappable",
    "colormaps",
    "seaborn",
    "settings",
    "to_hex",
    "to_rgb",
    "withStroke",
]


@contextlib.contextmanager
def settings(own: Mapping[Any, Any]) -> Iterator[None]:
    """Draws with matplotlib's defaults and our settings; restores the caller's afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(own)
        yield
