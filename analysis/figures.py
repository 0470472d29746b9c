"""The figures of a study: one function each, frame in, matplotlib Figure out; `save_all` writes them.

Sizes are in inches, for a page 7 in wide. Accuracies are fractions in the frames and percent on the axes. Artists that
show data carry a ``gid`` that says what they show.
"""

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis import key_geometry
from analysis.errors import AnalysisError
from analysis.load import VARIANT, load_keys, load_study, read, tables_with_rows
from analysis.palette import STEP_COLORS, Style, styles
from analysis.tables import PUBLISHED_N, Variant, variants
from analysis.time_courses import BINS, mean_curves

TASK_TITLES = {
    "same_different": "Same/different",
    "rmts": "Relational match-to-sample",
    "distribution_of_three": "Distribution of three",
    "identity_rules": "Identity rules",
}
CHANCE = {"same_different": 0.5, "rmts": 0.5, "distribution_of_three": 0.25, "identity_rules": 0.25}

_SPREAD = 0.66  # share of a category that the arms take side by side
_FADED = 0.4  # opacity of a variant with fewer trials than planned
_CHANCE_LINE: dict[str, Any] = {"color": "0.45", "linestyle": (0, (2, 2)), "linewidth": 0.8}
_RING: dict[str, Any] = {"linestyle": "none", "markersize": 6.5, "markerfacecolor": "none", "markeredgewidth": 0.8}
_APART = 0.35  # distance of the markers of a curve, as a share of the diagonal of its panel
_DECADES = {0: "0", 10: "10", 100: "100", 1_000: "1k", 10_000: "10k", 100_000: "100k"}
_HANDLE_WIDTH, _LABEL_WIDTH = 0.52, 0.062  # inches of a legend per entry and per character
_NOTE_SIZE, _LINE_HEIGHT, _CHARS_PER_INCH = 6.5, 0.115, 20.0  # notes under a figure: points, inches, DejaVu Sans
_STYLE: dict[Any, Any] = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper", font_scale=0.85),
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
    "mathtext.fontset": "dejavusans",  # some markers are glyphs of it
    "legend.frameon": False,
    "legend.handlelength": 3.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "axes.linewidth": 0.8,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "savefig.dpi": 300,
    "svg.hashsalt": "esbn-study",  # identifiers in SVG files, the same in every run
}


@matplotlib.rc_context(_STYLE)
def accuracy(frame: pd.DataFrame) -> Figure:
    """Test accuracy against withheld objects, a panel per task, with the paper's values as hollow markers.

    Args:
        frame: rows of `analysis.load_study`. Only completed trials are averaged; variants with fewer than planned are
            faded and listed under the figure, as are those with none.
    Source: paper Figure 3, from the values of Tables 9-20.
    """
    rows = variants(frame)
    tasks = list(dict.fromkeys(row.task for row in rows))
    looks = styles(list(dict.fromkeys(frame["arm"])))
    columns = 3 if len(tasks) == 3 else min(len(tasks), 2)
    places = [divmod(i, columns) for i in range(len(tasks))]
    handles = [_handle(look) for look in looks.values()] + _conventions(rows)
    figure, panels = _panels(places, 7.0 if columns > 1 else 4.2, 2.1, handles, _accuracy_notes(rows, looks))
    for panel, task in zip(panels, tasks, strict=True):
        _accuracy_panel(panel, [row for row in rows if row.task == task], looks)
        panel.set_title(_title(task))
    _label_outer(panels, places, "Withheld objects m", "Test accuracy (%)")
    return figure


def _accuracy_panel(panel: Axes, rows: list[Variant], looks: dict[str, Style]) -> None:
    withheld = sorted({row.withheld for row in rows})
    arms = [arm for arm in looks if any(row.arm == arm for row in rows)]
    for i, arm in enumerate(arms):
        shift = _SPREAD * (i - (len(arms) - 1) / 2) / max(len(arms) - 1, 1)  # side by side: equal means stay visible
        of_arm = [row for row in rows if row.arm == arm]
        _accuracy_of_arm(panel, of_arm, np.array([withheld.index(row.withheld) + shift for row in of_arm]), looks[arm])
    panel.set_xticks(range(len(withheld)), [str(m) for m in withheld])
    panel.set_xlim(-0.5, len(withheld) - 0.5)
    for x in range(len(withheld) - 1):
        panel.axvline(x + 0.5, color="0.9", linewidth=0.6, zorder=0)
    chance = CHANCE.get(rows[0].task)
    if chance is not None:
        panel.axhline(100 * chance, **_CHANCE_LINE, zorder=1, gid="chance")
    low = [row.mean - np.nan_to_num(row.sem) for row in rows] + [row.published_mean for row in rows]
    panel.set_ylim(100 * float(np.nanmin([*low, 1.0 if chance is None else chance])) - 5, 104)
    sns.despine(ax=panel)


def _accuracy_of_arm(panel: Axes, rows: list[Variant], x_M: np.ndarray, look: Style) -> None:
    """Line and means, faded where incomplete, with error bars (none if n = 1), and the paper's values as rings."""
    mean_M = 100 * np.array([row.mean for row in rows])
    sem_M = 100 * np.nan_to_num([row.sem for row in rows])
    whole_M = np.array([row.n == row.planned for row in rows], bool)
    panel.plot(x_M, mean_M, color=look.color, linestyle=look.line, linewidth=0.9, alpha=0.6, zorder=2)
    for kind, part_M, alpha in (("ours", whole_M, 1.0), ("incomplete", ~whole_M & ~np.isnan(mean_M), _FADED)):
        x, y, error = x_M[part_M], mean_M[part_M], sem_M[part_M]
        panel.errorbar(x, y, error, fmt="none", ecolor=look.color, alpha=alpha, elinewidth=0.9, zorder=4)
        dot: dict[str, Any] = {"marker": look.marker, "markersize": 4, "markeredgewidth": 0, "linestyle": "none"}
        panel.plot(x, y, color=look.color, alpha=alpha, zorder=4, gid=kind, **dot)
    paper_M = 100 * np.array([row.published_mean for row in rows])
    panel.plot(x_M, paper_M, color=look.color, marker=look.marker, zorder=3, gid="paper", **_RING)


def _title(task: str) -> str:
    return TASK_TITLES.get(task, task)


def _handle(look: Style) -> Line2D:
    return Line2D(
        [], [], color=look.color, marker=look.marker, linestyle=look.line, markeredgewidth=0, label=look.label
    )


def _conventions(rows: list[Variant]) -> list[Line2D]:
    handles = [Line2D([], [], **_CHANCE_LINE, label="chance")]
    if any(row.source for row in rows):
        handles.append(Line2D([], [], color="0.3", marker="o", label="hollow: paper", **_RING))
    if any(0 < row.n < row.planned for row in rows):
        dot: dict[str, Any] = {"marker": "o", "alpha": _FADED, "markeredgewidth": 0, "linestyle": "none"}
        handles.append(Line2D([], [], color="0.2", label="faded: incomplete", **dot))
    return handles


def _accuracy_notes(rows: list[Variant], looks: dict[str, Style]) -> list[str]:
    """What the means, bars and rings are, and every variant that does not have the usual number of networks."""
    whole = [row.n for row in rows if row.n == row.planned]
    usual = max(set(whole), key=lambda n: (whole.count(n), n)) if whole else None
    count = "n as listed" if usual is None else f"n = {usual} trained networks per mean unless listed"
    paper = f" Paper: n = {PUBLISHED_N}." if any(row.source for row in rows) else ""
    notes = [f"{count}. Error bars: ± standard error of the mean over seeds (ddof 1).{paper}"]
    kinds: dict[str, Callable[[Variant], bool]] = {
        "Other n": lambda row: row.n == row.planned != usual,
        "Incomplete": lambda row: 0 < row.n < row.planned,
        "Without a completed trial": lambda row: row.n == 0,
    }
    for kind, belongs in kinds.items():
        if chosen := [row for row in rows if belongs(row)]:
            notes.append(f"{kind}: {'; '.join(_listed(chosen, looks))}.")
    return notes


def _listed(rows: list[Variant], looks: dict[str, Style]) -> list[str]:
    """The variants in words: the m of an arm that lack the same, and the arms of which that is so, put together."""
    of_arm: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        of_arm.setdefault((row.task, row.arm, row.lack), []).append(str(row.withheld))
    together: dict[tuple[str, str, str], list[str]] = {}
    for (task, arm, lack), withheld in of_arm.items():
        together.setdefault((task, ", ".join(withheld), lack), []).append(looks[arm].label)
    return [f"{_title(task)}, m = {m}, {', '.join(arms)} ({lack})" for (task, m, lack), arms in together.items()]


class _Curve(NamedTuple):
    """Training accuracy of one variant, in percent."""

    n: int  # networks
    updates: np.ndarray  # [U]
    mean: np.ndarray  # [U]
    sem: np.ndarray  # [U]; 0 if n = 1


@matplotlib.rc_context(_STYLE)
def curves(frame: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> Figure:
    """Training accuracy against training updates, a panel per task and m, mean and standard error over seeds.

    The axis is linear up to 10 updates, the second measurement, and logarithmic above, where measurements of a network
    that are closer than 1/25 of a decade are averaged first.

    Args:
        frame: rows of `analysis.load_study`; only completed trials are averaged.
        curves: rows of the curves table of its trials: accuracy of the training batch before its update.
    Raises:
        AnalysisError: no completed trial has a curve.
    Source: paper Figures 4, 5, 7 and 8.
    """
    means = _mean_curves(frame, curves)
    tasks, arms = list(dict.fromkeys(frame["task"])), list(dict.fromkeys(frame["arm"]))
    looks = {arm: look for arm, look in styles(arms).items() if any(a == arm for _, _, a in means)}
    shown = sorted({(task, withheld) for task, withheld, _ in means}, key=lambda at: (tasks.index(at[0]), at[1]))
    places = _curve_places(shown)
    width = {1: 3.4, 2: 5.0}.get(1 + max(column for _, column in places), 7.0)
    handles = [_handle(look) for look in looks.values()]
    figure, panels = _panels(places, width, 1.65, handles, [_curve_note(sorted({mean.n for mean in means.values()}))])
    for panel, (task, withheld) in zip(panels, shown, strict=True):
        of_arm = [(look, means[task, withheld, arm]) for arm, look in looks.items() if (task, withheld, arm) in means]
        _curves_panel(panel, of_arm)
        panel.set_title("\n".join([*textwrap.wrap(_title(task), 21, break_on_hyphens=False), f"m = {withheld}"]))
    _label_outer(panels, places, "Training updates", "Training accuracy (%)")
    return figure


def _mean_curves(frame: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> dict[tuple[str, int, str], _Curve]:
    rows = mean_curves(frame, curves)
    if rows.empty:
        raise AnalysisError("no completed trial has training curves; run the study first")
    means = {}
    for _, of_arm in rows.groupby(VARIANT):
        task, withheld, arm, n = of_arm[[*VARIANT, "n"]].iloc[0].tolist()
        update_U, accuracy_U, sem_U = of_arm[["update", "accuracy", "sem"]].to_numpy(float).T
        means[task, withheld, arm] = _Curve(n, update_U, 100 * accuracy_U, 100 * sem_U)
    return means


def _curve_places(shown: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """Row and column of each panel: a row per task, or as many as it takes by fours if every task has one m."""
    tasks = [task for task, _ in shown]
    rows = list(dict.fromkeys(tasks))
    if len(rows) == len(shown):
        return [divmod(i, 4) for i in range(len(shown))]
    return [(rows.index(task), i - tasks.index(task)) for i, task in enumerate(tasks)]


def _curve_note(counts: Sequence[int]) -> str:
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Mean over n = {span} trained networks; bands: ± standard error of the mean over seeds (ddof 1). Above 100"
        f" updates, measurements of a network are averaged to {BINS} per decade first."
    )


def _curves_panel(panel: Axes, of_arm: Sequence[tuple[Style, _Curve]]) -> None:
    for i, (look, (_, update_U, mean_U, sem_U)) in enumerate(of_arm):
        apart: Any = (_APART * i / len(of_arm), _APART)  # where the first marker is, and how far the next
        dots: dict[str, Any] = {"marker": look.marker, "markersize": 3.5, "markeredgewidth": 0, "markevery": apart}
        panel.plot(update_U, mean_U, color=look.color, linestyle=look.line, **dots, gid="mean")
        panel.fill_between(update_U, mean_U - sem_U, mean_U + sem_U, color=look.color, alpha=0.2, linewidth=0)
    last = max(20.0, *(curve.updates[-1] for _, curve in of_arm))
    panel.set_xscale("symlog", linthresh=10, linscale=0.5)
    ticks = {update: text for update, text in _DECADES.items() if update <= last}
    panel.set_xticks(list(ticks), list(ticks.values()))
    panel.set_xlim(0, last)
    panel.set_ylim(top=103)
    sns.despine(ax=panel)


@matplotlib.rc_context(_STYLE)
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
        " step t; $r_o$: read when the object of step o is shown again."
    )
    figure, (a, b, c) = _panels([(0, 0), (0, 1), (0, 2)], 7.0, 2.75, [], [note])
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
    steps = range(1, points_PT2.shape[1] + 1)
    colors = [STEP_COLORS[t % len(STEP_COLORS)] for t in range(len(steps))]
    for t, color in zip(steps, colors, strict=True):
        panel.scatter(*points_PT2[:, t - 1].T, s=7, color=color, alpha=0.6, linewidths=0, rasterized=True, gid=f"k{t}")
    _legend_below(panel, [_dot(color, f"$k_{t}$") for t, color in zip(steps, colors, strict=True)], 5)


def _split_panel(panel: Axes, points: Sequence[np.ndarray], trains: Sequence[np.ndarray], symbol: str) -> None:
    """Points of steps or roles 1, 2, 3: training problems as rings, test problems as dots under them."""
    for i, (points_N2, train_N) in enumerate(zip(points, trains, strict=True), start=1):
        color = STEP_COLORS[i - 1]
        dot = {"s": 4, "color": color, "alpha": 0.35, "linewidths": 0}
        ring = {"s": 20, "facecolors": "none", "edgecolors": color, "linewidths": 0.6, "zorder": 3}
        panel.scatter(*points_N2[~train_N].T, **dot, rasterized=True, gid=f"test{i}")
        panel.scatter(*points_N2[train_N].T, **ring, rasterized=True, gid=f"train{i}")
    named = [_dot(STEP_COLORS[i], f"${symbol}_{i + 1}$") for i in range(len(points))]
    ring = Line2D([], [], marker="o", linestyle="none", color="0.3", markerfacecolor="none", label="training")
    _legend_below(panel, [*named, ring, _dot("0.3", "test", 3)], 5)


def _reads_panel(
    panel: Axes, axes: key_geometry.Axes, reads: key_geometry.Reads, limits: tuple[np.ndarray, np.ndarray]
) -> None:
    points_R2 = axes.project(reads.read)
    chosen = [reads.role == role for role in key_geometry.ROLES]
    _split_panel(panel, [points_R2[r] for r in chosen], [reads.train[r] for r in chosen], "r")
    low, high = limits
    frame = {"fill": False, "edgecolor": "0.4", "linestyle": (0, (3, 2)), "linewidth": 0.7}
    panel.add_patch(Rectangle((low[0], low[1]), *(high - low), **frame, zorder=1, gid="limits"))
    cut = key_geometry.outside(points_R2, low, high)
    share = f"{cut.sum():,} of {len(cut):,} reads ({100 * cut.mean():.1f} %)\noutside panel b's range (dashed)"
    panel.text(0.02, 0.98, share, transform=panel.transAxes, va="top", size=_NOTE_SIZE, gid="outside")
    panel.margins(y=0.25)


def _dot(color: str, label: str, size: float = 4.5) -> Line2D:
    return Line2D([], [], marker="o", linestyle="none", color=color, markeredgewidth=0, markersize=size, label=label)


def _legend_below(panel: Axes, handles: Sequence[Line2D], columns: int) -> None:
    panel.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns,
        handlelength=1, handletextpad=0.2, columnspacing=0.8,
    )  # fmt: skip


@matplotlib.rc_context(_STYLE)
def objects(objects: pd.DataFrame) -> Figure:
    """The images the trials used, on a grid in the order of their numbers.

    Args:
        objects: rows of the objects table with one ``images_hash``; pixels are [32 * 32] 0 (black) to 255.
    Source: paper Figure 10.
    """
    ordered = objects.sort_values("object")
    images_N = [np.asarray(pixels, np.uint8).reshape(32, 32) for pixels in ordered["pixels"]]
    columns = math.ceil(math.sqrt(len(images_N)))
    rows = math.ceil(len(images_N) / columns)
    sheet = np.full((36 * rows + 4, 36 * columns + 4), 255, np.uint8)  # 4 white pixels between images
    for i, image in enumerate(images_N):
        y, x = 36 * (i // columns) + 4, 36 * (i % columns) + 4
        sheet[y : y + 32, x : x + 32] = image
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100))  # a pixel is 3 x 3 at 300 dpi
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    panel.set_axis_off()
    return figure


def _image_sets(completed: pd.DataFrame) -> list[str]:
    return completed["images_hash"].dropna().unique().tolist() if "images_hash" in completed else []


def save_all(results: str, study: str, out: str | Path) -> list[Path]:
    """Writes every figure the data of a study allow, as PNG and as SVG, and the numbers beside the keys as CSV.

    The names are accuracy, curves, keys_<task>_m<withheld>_seed<seed> (with the arm behind it, if it is not the
    baseline) and objects (with the start of the images' hash behind it, if there are several sets).

    Args:
        results: folder or URI the study was run into.
        study: name of the study.
        out: local folder; made if it is not there.
    Returns:
        The paths of the files.
    Raises:
        AnalysisError: the study is unknown, a file is torn, or ``out`` cannot be written.
    """
    frame = load_study(results, study)
    there = tables_with_rows(results)
    completed = frame.loc[frame["status"] == "completed"]
    paths = _save(accuracy(frame), Path(out), "accuracy")
    if "curves" in there:
        wanted = pc.field("trial_id").isin(completed["trial_id"].tolist())
        rows = read(results, "curves", ["trial_id", "update", "accuracy"], wanted)
        if len(rows):
            paths += _save(curves(frame, rows), Path(out), "curves")
    if "keys" in there:
        for trial_id, name in _keys_names(completed):
            rows = load_keys(results, trial_id)  # 0.2 GB, so one at a time
            if len(rows):
                paths += _save(keys(rows), Path(out), name)
                key_geometry.key_summary(rows).to_csv(Path(out) / f"{name}.csv")
                paths.append(Path(out) / f"{name}.csv")
    if "objects" in there:
        sets = read(results, "objects", rows=pc.field("images_hash").isin(_image_sets(completed))).to_pandas()
        for images_hash, rows in sets.groupby("images_hash"):
            suffix = f"_{images_hash[:8]}" if sets["images_hash"].nunique() > 1 else ""
            paths += _save(objects(rows), Path(out), f"objects{suffix}")
    return paths


def _keys_names(completed: pd.DataFrame) -> list[tuple[str, str]]:
    """Identity and file name of each trial whose keys the study wants and Figure 9 can show."""
    names = []
    columns = (completed[column] for column in ("trial_id", *VARIANT, "seed", "keys"))
    for trial_id, task, withheld, arm, seed, wanted in zip(*columns, strict=True):
        if wanted is True and task == "distribution_of_three":
            suffix = "" if arm == "baseline" else "_" + re.sub(r"[^\w.-]+", "-", arm)
            names.append((trial_id, f"keys_{task}_m{withheld}_seed{seed}{suffix}"))
    return names


def _save(figure: Figure, out: Path, name: str) -> list[Path]:
    paths = [out / f"{name}.png", out / f"{name}.svg"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(_STYLE):
            figure.savefig(paths[0])
            figure.savefig(paths[1], metadata={"Date": None})  # the same bytes in every run
    except OSError as error:
        raise AnalysisError(f"out={str(out)!r} cannot be written: {error}; name another folder") from None
    return paths


def _label_outer(panels: Sequence[Axes], places: Sequence[tuple[int, int]], x_label: str, y_label: str) -> None:
    """Axis labels only where no panel is below or to the left."""
    for panel, (row, column) in zip(panels, places, strict=True):
        if (row + 1, column) not in places:
            panel.set_xlabel(x_label)
        if column == 0:
            panel.set_ylabel(y_label)


def _panels(
    places: Sequence[tuple[int, int]], width: float, height: float, handles: Sequence[Line2D], notes: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """A figure with a legend above, a panel of the given height at each place (row, column), and notes below."""
    rows, columns = (1 + max(numbers) for numbers in zip(*places, strict=True))
    lines = [line for note in notes for line in textwrap.wrap(note, int(width * _CHARS_PER_INCH))]
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    legend_rows = math.ceil(len(handles) / max(1, int(width / (_HANDLE_WIDTH + _LABEL_WIDTH * longest))))
    above = 0.17 * legend_rows + 0.08
    below = _LINE_HEIGHT * len(lines) + 0.06
    total = rows * height + above + below
    engine = ConstrainedLayoutEngine(rect=(0, below / total, 1, 1 - below / total), w_pad=0.04, h_pad=0.04)
    figure = Figure(figsize=(width, total), layout=engine)
    grid = figure.add_gridspec(rows, columns)
    panels = [figure.add_subplot(grid[row, column]) for row, column in places]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=math.ceil(len(handles) / legend_rows))
    figure.text(0.01, (below - 0.03) / total, "\n".join(lines), size=_NOTE_SIZE, va="top", color="0.25", gid="notes")
    return figure, panels
