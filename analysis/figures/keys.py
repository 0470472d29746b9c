"""Figure 9 and the similarity of mean keys: what the ESBN's keys look like, and whether they stand for steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis.figures.palette import STEP_COLORS, STEP_MARKERS
from analysis.figures.sheet import NOTE_SIZE, label_outer, points, sheet, styled
from analysis.findings import key_geometry
from analysis.findings.key_measures import BY_CONSTRUCTION


@styled
def keys(keys: pa.Table) -> Figure:
    """Principal components of the keys of one network: written in training, written first, and read back.

    Panel c shows its full range, unlike the paper's, and says how many reads panel b's limits would have cut off.

    Args:
        keys: all rows of the keys table of one trial of distribution of three.
    Source: paper Figure 9.
    """
    written = key_geometry.trace(keys)
    axes = key_geometry.principal_axes(written.keys)
    first_PT2 = axes.project(written.keys[:, : len(key_geometry.ROLES)])
    note = (
        f"One network (trial {written.trial_id}); {written.train.sum():,} training and {(~written.train).sum():,} test"
        " problems. Principal components of all written keys, with their share of the variance. $k_t$: key written at"
        " step t; $r_o$: read when the object of step o is shown again. $k_1$ and $k_2$ agree for training and test by"
        " construction: the controller has seen no image yet."
    )
    figure, (a, b, c) = sheet([(0, 0), (0, 1), (0, 2)], 7.0, 2.75, [], [note])
    _written_panel(a, axes.project(written.keys[written.train]))
    limits = key_geometry.panel_limits(first_PT2.reshape(-1, 2))
    _split_panel(b, [first_PT2[:, t] for t in range(len(key_geometry.ROLES))], [written.train] * 3, "k")
    b.set(xlim=(limits[0][0], limits[1][0]), ylim=(limits[0][1], limits[1][1]))
    _reads_panel(c, axes, key_geometry.reads(written), limits)
    for panel, title in zip(
        (a, b, c), ("a  Written, training", "b  Written, t = 1, 2, 3", "c  Read again"), strict=True
    ):
        panel.set_title(title, loc="left")
        panel.set_xlabel(f"Component 1 ({100 * axes.variance[0]:.1f} %)")
        sns.despine(ax=panel)
    a.set_ylabel(f"Component 2 ({100 * axes.variance[1]:.1f} %)")
    return figure


def _written_panel(panel: Axes, points_PT2: np.ndarray) -> None:
    for t in range(1, points_PT2.shape[1] + 1):
        look = {"color": _color(t), "marker": _marker(t), "alpha": 0.6, "linewidths": 0}
        panel.scatter(*points_PT2[:, t - 1].T, s=points(2.9) ** 2, **look, rasterized=True, gid=f"k{t}")
    _legend_below(panel, [_dot(t, f"$k_{t}$") for t in range(1, points_PT2.shape[1] + 1)], 5)


def _color(step: int) -> str:
    return STEP_COLORS[(step - 1) % len(STEP_COLORS)]


def _marker(step: int) -> str:
    return STEP_MARKERS[(step - 1) % len(STEP_MARKERS)]


def _split_panel(panel: Axes, of_step: Sequence[np.ndarray], trains: Sequence[np.ndarray], symbol: str) -> None:
    """Points of steps or roles 1, 2, 3: training problems hollow, test problems filled and under them."""
    for t, (points_N2, train_N) in enumerate(zip(of_step, trains, strict=True), start=1):
        filled = {"s": points(2.2) ** 2, "color": _color(t), "alpha": 0.35, "linewidths": 0}
        hollow = {"s": points(4.5) ** 2, "facecolors": "none", "edgecolors": _color(t), "linewidths": points(0.6)}
        panel.scatter(*points_N2[~train_N].T, **filled, marker=_marker(t), rasterized=True, gid=f"test{t}")
        panel.scatter(*points_N2[train_N].T, **hollow, marker=_marker(t), zorder=3, rasterized=True, gid=f"train{t}")
    named = [_dot(t, f"${symbol}_{t}$") for t in range(1, len(of_step) + 1)]
    grey: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": "0.3"}
    hollow = Line2D([], [], **grey, markerfacecolor="none", markersize=points(4.5), label="training")
    filled = Line2D([], [], **grey, markeredgewidth=0, markersize=points(3), label="test")
    _legend_below(panel, [*named, hollow, filled], 5)


def _reads_panel(
    panel: Axes, axes: key_geometry.Axes, reads: key_geometry.Reads, limits: tuple[np.ndarray, np.ndarray]
) -> None:
    points_R2 = axes.project(reads.read)
    chosen = [reads.role == role for role in key_geometry.ROLES]
    _split_panel(panel, [points_R2[r] for r in chosen], [reads.train[r] for r in chosen], "r")
    low, high = limits
    frame = {"fill": False, "edgecolor": "0.4", "linestyle": (0, (3, 2)), "linewidth": points(0.7)}
    panel.add_patch(Rectangle((low[0], low[1]), *(high - low), **frame, zorder=1, gid="limits"))
    cut = key_geometry.outside(points_R2, low, high)
    share = f"{cut.sum():,} of {len(cut):,} reads ({100 * cut.mean():.1f} %)\noutside panel b's range (dashed)"
    panel.text(0.02, 0.98, share, transform=panel.transAxes, va="top", size=points(NOTE_SIZE), gid="outside")
    panel.margins(y=0.25)


def _dot(step: int, label: str) -> Line2D:
    look = {"color": _color(step), "marker": _marker(step), "linestyle": "none", "markeredgewidth": 0}
    return Line2D([], [], **look, markersize=points(4.5), label=label)


def _legend_below(panel: Axes, handles: Sequence[Line2D], columns: int) -> None:
    panel.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns,
        handlelength=1, handletextpad=0.2, columnspacing=0.8,
    )  # fmt: skip


@styled
def similarities(of_variant: Mapping[str, np.ndarray]) -> Figure:
    """How alike the mean keys of training and test are, step by step, a panel per variant.

    The steps at which training and test agree by construction are framed.

    Args:
        of_variant: by title, [N, T, T] cosines of N networks, training steps down, test steps across; as
            `symbols.similarity` gives them.
    """
    columns = min(len(of_variant), 3)
    places = [divmod(i, columns) for i in range(len(of_variant))]
    note = (
        "Cosine of the mean key of training problems at one step and that of test problems at another, both taken from"
        " the mean over all steps. Mean over n networks; SEM: the largest standard error over networks (ddof 1)."
        " Framed, steps 1 and 2: the same keys for training and test by construction, since the controller has seen no"
        " image yet; step 3 can differ through the confidence of its read alone. The key of the last step is never"
        " read, so nothing trains it."
    )
    figure, panels = sheet(places, {1: 3.4, 2: 5.5}.get(columns, 7.0), 3.2, [], [note])
    for panel, (title, cosines_NTT) in zip(panels, of_variant.items(), strict=True):
        _similarity_panel(panel, cosines_NTT)
        panel.set_title(f"{title}\n{_spread(cosines_NTT)}", size=points(7))
    shade = figure.colorbar(panels[0].images[0], ax=panels, shrink=0.6, ticks=(-1, 0, 1))
    shade.outline.set_visible(False)
    label_outer(panels, places, "Step of test problems", "Step of training problems")
    return figure


def _spread(cosines_NTT: np.ndarray) -> str:
    n = len(cosines_NTT)
    if n == 1:
        return "n = 1 network"
    return f"n = {n} networks, SEM up to {(cosines_NTT.std(axis=0, ddof=1) / np.sqrt(n)).max():.2f}"


def _similarity_panel(panel: Axes, cosines_NTT: np.ndarray) -> None:
    mean_TT = cosines_NTT.mean(axis=0)
    steps = range(1, len(mean_TT) + 1)
    low, high = 0.5, len(mean_TT) + 0.5
    panel.imshow(mean_TT, cmap="cividis", vmin=-1, vmax=1, extent=(low, high, high, low), gid="similarity")
    for (row, column), cosine in np.ndenumerate(mean_TT):
        ink = "black" if cosine > 0.2 else "white"
        number = f"{cosine:.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}")
        panel.text(column + 1, row + 1, number, ha="center", va="center", color=ink, size=points(5))
    frame = {"fill": False, "edgecolor": "black", "linewidth": points(1.4), "gid": "by construction"}
    panel.add_patch(Rectangle((0.5, 0.5), BY_CONSTRUCTION, BY_CONSTRUCTION, **frame))
    panel.set_xticks(steps)
    panel.set_yticks(steps)
    panel.tick_params(length=0)
    sns.despine(ax=panel, left=True, bottom=True)
