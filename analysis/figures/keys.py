"""Figure 9, keys of one network in two components; and the similarity of mean keys of training and test."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.figures.description import STEPS_SHOW, KeyPoints, agreement, key_space, task_title
from analysis.figures.palette import STEP_MARKERS, step_color
from analysis.figures.plotting import Axes, Figure, Line2D, Rectangle, seaborn
from analysis.figures.sheet import NOTE_SIZE, label_outer, make_sheet, scaled, with_settings
from analysis.findings import key_geometry

TITLE_WIDTH = 34  # characters in a line of a panel's title


@with_settings
def draw_keys(keys: pa.Table, task: str, same: int) -> Figure:
    """Draws principal components of one network's keys: written in training (a), written and later read (b), reads (c).

    Panel c shows its full range, unlike the paper's, and says how many reads are outside the range of panel b.

    Args:
        keys: all rows of the keys table of one trial.
        task: task of the trial.
        same: number of first steps that write the same key by construction, from `key_trials.n_same`.
    Source: paper Figure 9, for distribution of three.
    """
    trace = key_geometry.trace(keys)
    recalled = key_geometry.reads(trace)
    space = key_space(trace, recalled)
    figure, (a, b, c) = make_sheet([(0, 0), (0, 1), (0, 2)], 7.0, 2.75, [], [_note(trace, task, same)])
    _draw_written(a, space.written)
    compared = key_geometry.compared_steps(recalled, len(space.written))
    limits = key_geometry.panel_limits(np.concatenate([space.written[step - 1].points for step in compared]))
    _draw_splits(b, [space.written[step - 1] for step in compared])
    b.set(xlim=(limits[0][0], limits[1][0]), ylim=(limits[0][1], limits[1][1]))
    if len(space.written) == len(compared):  # the same points, which may lie on a line without height
        a.set(xlim=b.get_xlim(), ylim=b.get_ylim())
    _draw_reads(c, space.read, limits)
    written = f"b  Written, t = {', '.join(map(str, compared))}"
    for axes, title in zip((a, b, c), ("a  Written, training", written, "c  Read again"), strict=True):
        axes.set_title(title, loc="left")
        axes.set_xlabel(space.label(1))
        seaborn.despine(ax=axes)
    a.set_ylabel(space.label(2))
    return figure


def _note(trace: key_geometry.Trace, task: str, same: int) -> str:
    n_steps = trace.keys.shape[1]
    said = (
        f"{task_title(task)}, one network (trial {trace.trial_id}); {trace.train.sum():,} training and"
        f" {(~trace.train).sum():,} test problems.",
        STEPS_SHOW.get(task, ""),
        "Principal components of all written keys, with their share of the variance. $k_t$: key written at step t;"
        " $r_o$: read when the object that first appears at step o is shown again.",
        agreement(same, n_steps),
    )
    return " ".join(filter(None, said))


def _draw_written(axes: Axes, written: Sequence[KeyPoints]) -> None:
    for key in written:
        dots: dict[str, Any] = {**_mark(key), "alpha": 0.6, "linewidths": 0, "s": scaled(2.9) ** 2}
        axes.scatter(*key.points[key.train].T, **dots, rasterized=True, gid=key.name)
    _add_legend_below(axes, [_handle(key) for key in written])


def _mark(key: KeyPoints) -> dict[str, Any]:
    return {"color": step_color(key.step), "marker": STEP_MARKERS[(key.step - 1) % len(STEP_MARKERS)]}


def _draw_splits(axes: Axes, keys: Sequence[KeyPoints]) -> None:
    """Draws training problems as rings, and test problems filled and under them."""
    for key in keys:
        color, shape = step_color(key.step), _mark(key)["marker"]
        filled = {"s": scaled(2.2) ** 2, "color": color, "alpha": 0.35, "linewidths": 0}
        hollow = {"s": scaled(4.5) ** 2, "facecolors": "none", "edgecolors": color, "linewidths": scaled(0.6)}
        test, train = key.points[~key.train].T, key.points[key.train].T
        axes.scatter(*test, **filled, marker=shape, rasterized=True, gid=f"test{key.step}")
        axes.scatter(*train, **hollow, marker=shape, zorder=3, rasterized=True, gid=f"train{key.step}")
    grey: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": "0.3"}
    hollow = Line2D([], [], **grey, markerfacecolor="none", markersize=scaled(4.5), label="training")
    filled = Line2D([], [], **grey, markeredgewidth=0, markersize=scaled(3), label="test")
    _add_legend_below(axes, [*map(_handle, keys), hollow, filled])


def _draw_reads(axes: Axes, reads: Sequence[KeyPoints], limits: tuple[np.ndarray, np.ndarray]) -> None:
    low, high = limits
    if not reads:
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        middle: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, "no object is shown again", **middle, size=scaled(NOTE_SIZE), gid="outside")
        return
    _draw_splits(axes, reads)
    frame = {"fill": False, "edgecolor": "0.4", "linestyle": (0, (3, 2)), "linewidth": scaled(0.7)}
    axes.add_patch(Rectangle((low[0], low[1]), *(high - low), **frame, zorder=1, gid="limits"))
    cut = key_geometry.outside(np.concatenate([read.points for read in reads]), low, high)
    share = f"{cut.sum():,} of {len(cut):,} reads ({100 * cut.mean():.1f} %)\noutside panel b's range (dashed)"
    axes.text(0.02, 0.98, share, transform=axes.transAxes, va="top", size=scaled(NOTE_SIZE), gid="outside")
    axes.margins(y=0.25)


def _handle(key: KeyPoints) -> Line2D:
    dot = {**_mark(key), "linestyle": "none", "markeredgewidth": 0, "markersize": scaled(4.5)}
    return Line2D([], [], **dot, label=f"${key.name[0]}_{key.step}$")


def _add_legend_below(axes: Axes, handles: Sequence[Line2D]) -> None:
    columns = len(handles) if len(handles) < 6 else -(-len(handles) // 2)  # two rows from 6 entries on
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns,
        handlelength=1, handletextpad=0.2, columnspacing=0.8,
    )  # fmt: skip


@with_settings
def draw_similarities(of_variant: Mapping[str, np.ndarray], same: Mapping[str, int]) -> Figure:
    """Draws the similarity of the mean keys of training and test at all pairs of steps, a panel per variant.

    Frames mark steps at which training and test agree by construction.

    Args:
        of_variant: title -> [N, T, T] cosines of N networks, training steps down, test steps across, from
            `key_measures.similarity`.
        same: title -> number of first steps that write the same key by construction, from `key_trials.n_same`.
    """
    columns = min(len(of_variant), 3)
    places = [divmod(i, columns) for i in range(len(of_variant))]
    note = (
        "Cosine similarity of mean keys (training problems at one step, test problems at another) after subtracting the"
        " mean over steps. Mean over n networks; SEM: the largest standard error over networks (ddof 1). Framed: keys"
        " that are the same for training and test by construction, since the controller has no information on the"
        " images yet. If step 3 is not framed, and without a leak, its key can differ only through a single number: the"
        " confidence of the read at step 2 or, with a default entry, its weight there. The key of the last step is"
        " never read, so nothing trains it."
    )
    titles = [
        [*(part for line in title.split("\n") for part in textwrap.wrap(line, TITLE_WIDTH)), _spread(cosines_NTT)]
        for title, cosines_NTT in of_variant.items()
    ]
    width, height = {1: (3.4, 2.84), 2: (5.5, 2.84)}.get(columns, (7.0, 2.44))
    figure, every_axes = make_sheet(places, width, height + 0.12 * max(map(len, titles)), [], [note])
    for axes, lines, (title, cosines_NTT) in zip(every_axes, titles, of_variant.items(), strict=True):
        _draw_similarity(axes, cosines_NTT, same[title])
        axes.set_title("\n".join(lines), size=scaled(7))
    shade = figure.colorbar(every_axes[0].images[0], ax=every_axes, shrink=0.6, ticks=(-1, 0, 1))
    shade.outline.set_visible(False)
    label_outer(every_axes, places, "Step of test problems", "Step of training problems")
    return figure


def _spread(cosines_NTT: np.ndarray) -> str:
    n = len(cosines_NTT)
    if n == 1:
        return "n = 1 network"
    return f"n = {n} networks, SEM up to {(cosines_NTT.std(axis=0, ddof=1) / np.sqrt(n)).max():.2f}"


def _draw_similarity(axes: Axes, cosines_NTT: np.ndarray, same: int) -> None:
    mean_TT = cosines_NTT.mean(axis=0)
    steps = range(1, len(mean_TT) + 1)
    low, high = 0.5, len(mean_TT) + 0.5
    axes.imshow(mean_TT, cmap="cividis", vmin=-1, vmax=1, extent=(low, high, high, low), gid="similarity")
    for (row, column), cosine in np.ndenumerate(mean_TT):
        ink = "white" if cosine <= 0.2 else "black"
        number = f"{cosine:.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}").replace("nan", "\N{EN DASH}")
        axes.text(column + 1, row + 1, number, ha="center", va="center", color=ink, size=scaled(5))
    frame = {"fill": False, "edgecolor": "black", "linewidth": scaled(1.4), "gid": "by construction"}
    if side := min(same, len(mean_TT)):
        axes.add_patch(Rectangle((0.5, 0.5), side, side, **frame))
    axes.set_xticks(steps)
    axes.set_yticks(steps)
    axes.tick_params(length=0)
    seaborn.despine(ax=axes, left=True, bottom=True)
