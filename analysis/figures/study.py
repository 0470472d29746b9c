"""The figures of a study: one function each, frame in, matplotlib Figure out; `save_all` writes them.

Sizes are in inches, for a page 7 in wide. Accuracies are fractions in the frames and percent on the axes. Artists that
show data carry a ``gid`` that says what they show.
"""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from analysis.data.curves import BINS, Course, curves_of, mean_courses
from analysis.data.published import PUBLISHED_N
from analysis.data.results import has_rows, load_keys, read
from analysis.data.trials import VARIANT, load_study
from analysis.errors import AnalysisError
from analysis.figures import keys as key_figures
from analysis.figures.palette import Style, styles
from analysis.figures.sheet import label_outer, points, save, sheet, styled, using
from analysis.findings import key_geometry
from analysis.findings.accuracy import VariantAccuracy, variant_accuracies
from analysis.findings.key_measures import similarity
from esbn_core.vocabulary import BASELINE, CHANCE, TASK_TITLES

_SPREAD = 0.76  # share of a category that the arms take side by side
_SHADES = (0.0, 0.45, 0.75)  # shares of white in the bars of one colour
_PALE = 0.75  # share of white in what has fewer networks than planned
_APART = 0.35  # distance of the markers of a curve, as a share of the diagonal of its panel
_UNCLIPPED: dict[str, Any] = {"clip_on": False, "in_layout": False}  # markers at 100 % reach over the edge
_UNTRAINED: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": "0.85",
    "hatch": "////",
    "linewidth": 0,
    "gid": "untrained",
}
_DECADES = {0: "0", 10: "10", 100: "100", 1_000: "1k", 10_000: "10k", 100_000: "100k"}


@styled
def accuracy(
    frame: pd.DataFrame, arms: Sequence[str] | None = None, notes: Sequence[str] = (), bars: bool = False
) -> Figure:
    """Test accuracy against withheld objects, a panel per task, with the paper's values as hollow markers.

    Args:
        frame: rows of `analysis.load_study` or `load_cells`. Only completed trials are averaged; variants with fewer
            than planned are pale (bars: hatched) and listed under the figure, as are those with none. An m at which
            nothing is trained is hatched.
        arms: their order; None: as the frame has them.
        notes: more lines to write under the figure.
        bars: draws bars in place of markers joined by lines.
    Source: paper Figures 3 and (bars) 6, from the values of Tables 9-20.
    """
    rows = variant_accuracies(frame)
    tasks = list(dict.fromkeys(row.task for row in rows))
    looks = _looks(frame, arms)
    columns = 3 if len(tasks) == 3 else min(len(tasks), 2)
    places = [divmod(i, columns) for i in range(len(tasks))]
    of_arm = _fills(looks) if bars else looks
    handles = [_bar_handle(of_arm[arm]) if bars else _handle(look) for arm, look in looks.items()]
    below = [_accuracy_note(rows), *notes, *_lacks(frame, rows, looks)]
    figure, panels = sheet(places, 7.0 if columns > 1 else 4.2, 2.1, [*handles, *_conventions(rows, bars)], below)
    for panel, task in zip(panels, tasks, strict=True):
        _accuracy_panel(
            panel, [row for row in rows if row.task == task], of_arm, _bars_of_arm if bars else _dots_of_arm
        )
        panel.set_title(_title(task))
    label_outer(panels, places, "Withheld objects m", "Test accuracy (%)")
    return figure


def _fills(looks: dict[str, Style]) -> dict[str, Style]:
    """The looks with arms of one colour in lighter and lighter shades of it."""
    before = Counter[str]()
    fills = {}
    for arm, look in looks.items():
        fills[arm] = look._replace(color=to_hex(_lighter(look.color, _SHADES[min(before[look.color], 2)])))
        before[look.color] += 1
    return fills


def _looks(frame: pd.DataFrame, arms: Sequence[str] | None) -> dict[str, Style]:
    return styles(frame["arm"].unique().tolist() if arms is None else list(arms))


def _accuracy_panel(
    panel: Axes,
    rows: list[VariantAccuracy],
    looks: dict[str, Style],
    draw: Callable[[Axes, list[VariantAccuracy], np.ndarray, Style], None],
) -> None:
    """The arms side by side at each m, so that equal means stay visible."""
    withheld = sorted({row.withheld for row in rows})
    arms = [arm for arm in looks if any(row.arm == arm for row in rows)]
    low = [row.mean - np.nan_to_num(row.sem) for row in rows] + [row.published_mean for row in rows]
    chance = CHANCE.get(rows[0].task)
    panel.set_ylim(100 * float(np.nanmin([*low, 1.0 if chance is None else chance])) - 5, 104)
    for i, arm in enumerate(arms):
        shift = _SPREAD * (i - (len(arms) - 1) / 2) / max(len(arms) - 1, 1)
        of_arm = [row for row in rows if row.arm == arm]
        draw(panel, of_arm, np.array([withheld.index(row.withheld) + shift for row in of_arm]), looks[arm])
    panel.set_xticks(range(len(withheld)), [str(m) for m in withheld])
    panel.set_xlim(-0.5, len(withheld) - 0.5)
    for x in range(len(withheld) - 1):
        panel.axvline(x + 0.5, color="0.9", linewidth=points(0.6), zorder=0)
    for x, m in enumerate(withheld):
        if not any(row.n for row in rows if row.withheld == m):
            panel.axvspan(x - 0.5, x + 0.5, **_UNTRAINED)
    if chance is not None:
        panel.axhline(100 * chance, **_chance_line(), zorder=1, gid="chance")
    sns.despine(ax=panel)


def _dots_of_arm(panel: Axes, rows: list[VariantAccuracy], x_M: np.ndarray, look: Style) -> None:
    """Line and means, pale where incomplete, with error bars (none if n = 1), and the paper's values as rings."""
    mean_M, sem_M, whole_M = _means(rows)
    panel.plot(x_M, mean_M, color=look.color, linestyle=look.line, linewidth=points(0.8), alpha=0.5, zorder=2)
    panel.errorbar(x_M, mean_M, sem_M, fmt="none", ecolor=look.color, elinewidth=points(0.9), zorder=4)
    for kind, part_M in (("ours", whole_M), ("incomplete", ~whole_M & ~np.isnan(mean_M))):
        panel.plot(x_M[part_M], mean_M[part_M], zorder=4, gid=kind, **_UNCLIPPED, **_dot(look, kind))
    _paper_of_arm(panel, rows, x_M, look)


def _bars_of_arm(panel: Axes, rows: list[VariantAccuracy], x_M: np.ndarray, look: Style) -> None:
    """Bars from 0, hatched where incomplete, with error bars (none if n = 1), and the paper's values as rings."""
    mean_M, sem_M, whole_M = _means(rows)
    panel.set_ylim(bottom=0)
    width = 0.8 * _SPREAD / 5
    for kind, part_M in (("ours", whole_M), ("incomplete", ~whole_M & ~np.isnan(mean_M))):
        panel.bar(x_M[part_M], mean_M[part_M], width, **_bar(look, kind), zorder=2)
    panel.errorbar(x_M, mean_M, sem_M, fmt="none", ecolor="0.1", elinewidth=points(0.9), zorder=4)
    _paper_of_arm(panel, rows, x_M, look._replace(color="0.1"))
    halo = withStroke(linewidth=points(1.8), foreground="white")
    panel.lines[-1].set_path_effects([halo])


def _means(rows: list[VariantAccuracy]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and standard errors in percent (0 if n = 1), and whether all planned networks are there; [M] each."""
    mean_M = 100 * np.array([row.mean for row in rows])
    return mean_M, 100 * np.nan_to_num([row.sem for row in rows]), np.array([row.n == row.planned for row in rows])


def _paper_of_arm(panel: Axes, rows: list[VariantAccuracy], x_M: np.ndarray, look: Style) -> None:
    paper_M = 100 * np.array([row.published_mean for row in rows])
    panel.plot(x_M, paper_M, color=look.color, marker=look.marker, zorder=3, gid="paper", **_UNCLIPPED, **_ring())


def _bar(look: Style, kind: str) -> dict[str, Any]:
    """A bar over all planned networks (ours), or over fewer (incomplete)."""
    bar: dict[str, Any] = {"facecolor": look.color, "edgecolor": "0.1", "linewidth": points(0.4), "gid": kind}
    return bar if kind == "ours" else {**bar, "hatch": "//////", "edgecolor": "white"}


def _bar_handle(look: Style) -> Patch:
    return Patch(**_bar(look, "ours"), label=look.label)


def _dot(look: Style, kind: str) -> dict[str, Any]:
    """A mean over all planned networks (ours), or over fewer (incomplete): the same marker, pale with an edge."""
    dot: dict[str, Any] = {"marker": look.marker, "markersize": points(4), "linestyle": "none", "color": look.color}
    if kind == "ours":
        return {**dot, "markeredgewidth": 0}
    return {**dot, "markerfacecolor": _lighter(look.color, _PALE), "markeredgewidth": points(0.7)}


def _lighter(color: str, white: float) -> tuple[float, float, float]:
    """A colour with a share of white mixed in."""
    red, green, blue = (white + (1 - white) * part for part in to_rgb(color))
    return red, green, blue


def _ring() -> dict[str, Any]:
    none: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none"}
    return {**none, "markersize": points(7), "markeredgewidth": points(0.7)}


def _chance_line() -> dict[str, Any]:
    return {"color": "0.45", "linestyle": (0, (2, 2)), "linewidth": points(0.8)}


def _title(task: str) -> str:
    return TASK_TITLES.get(task, task)


def _handle(look: Style) -> Line2D:
    return Line2D(
        [], [], color=look.color, marker=look.marker, linestyle=look.line, markeredgewidth=0, label=look.label
    )


def _conventions(rows: list[VariantAccuracy], bars: bool) -> list[Artist]:
    handles: list[Artist] = [Line2D([], [], **_chance_line(), label="chance")]
    grey = Style("0.2", "o", "-", "")
    if any(row.source for row in rows):
        handles.append(Line2D([], [], color="0.3", marker="o", label="hollow: paper", **_ring()))
    if any(0 < row.n < row.planned for row in rows):
        pale = Line2D([], [], **_dot(grey, "incomplete"), label="pale: incomplete")
        hatched = Patch(**_bar(grey._replace(color="0.5"), "incomplete"), label="hatched: incomplete")
        handles.append(hatched if bars else pale)
    return handles + _untrained(rows)


def _untrained(rows: list[VariantAccuracy]) -> list[Artist]:
    conditions = {(row.task, row.withheld) for row in rows}
    trained = {(row.task, row.withheld) for row in rows if row.n}
    return [] if conditions == trained else [Patch(**_UNTRAINED, label="none trained at this m")]


def _accuracy_note(rows: list[VariantAccuracy]) -> str:
    paper = f" Paper: n = {PUBLISHED_N}." if any(row.source for row in rows) else ""
    return f"{_count(rows)}. Error bars: ± standard error of the mean over seeds (ddof 1).{paper}"


def _count(rows: list[VariantAccuracy]) -> str:
    usual = _usual(rows)
    return "n as listed" if usual is None else f"n = {usual} trained networks per mean unless listed"


def _usual(rows: list[VariantAccuracy]) -> int | None:
    """How many networks most of the whole variants have; None if none is whole."""
    whole = [row.n for row in rows if row.n == row.planned]
    return max(set(whole), key=lambda n: (whole.count(n), n)) if whole else None


def lacks(frame: pd.DataFrame, arms: Sequence[str] | None = None) -> list[str]:
    """A sentence on each kind of variant that is not drawn as if whole, and on those that have an unusual n.

    Args:
        frame, arms: as `accuracy` takes them.
    """
    return _lacks(frame, variant_accuracies(frame), _looks(frame, arms))


def _lacks(frame: pd.DataFrame, rows: list[VariantAccuracy], looks: dict[str, Style]) -> list[str]:
    usual = _usual(rows)
    doubts = _doubts(frame)
    kinds: dict[str, Callable[[VariantAccuracy], bool]] = {
        "Other n": lambda row: row.n == row.planned != usual,
        "Incomplete": lambda row: 0 < row.n < row.planned,
        "Not averaged": lambda row: row[:3] in doubts,
        "None trained": lambda row: row.n == 0 and row[:3] not in doubts,
    }
    notes = []
    for kind, belongs in kinds.items():
        if chosen := [(row, doubts.get(row[:3], _lack(row))) for row in rows if belongs(row)]:
            notes.append(f"{kind}: {'; '.join(_listed(chosen, rows, looks))}.")
    return notes


def _lack(row: VariantAccuracy) -> str:
    return row.lack if row.n or row.failed else ""


def _doubts(frame: pd.DataFrame) -> dict[tuple[str, int, str], str]:
    """Why the trials of a variant are not averaged, where they are not."""
    if "doubt" not in frame:
        return {}
    doubtful = frame.loc[frame["doubt"].notna(), [*VARIANT, "doubt"]].drop_duplicates(VARIANT)
    return {(task, int(m), arm): doubt for task, m, arm, doubt in doubtful.itertuples(index=False)}


def _listed(
    chosen: list[tuple[VariantAccuracy, str]], rows: list[VariantAccuracy], looks: dict[str, Style]
) -> list[str]:
    """The chosen in words: the m of an arm that lack the same, and the arms of which that is so, put together."""
    of_arm: dict[tuple[str, str, str], list[str]] = {}
    for row, lack in chosen:
        of_arm.setdefault((row.task, row.arm, lack), []).append(str(row.withheld))
    together: dict[tuple[str, str, str], list[str]] = {}
    for (task, arm, lack), withheld in of_arm.items():
        together.setdefault((task, ", ".join(withheld), lack), []).append(arm)
    every = {row.task: {other.arm for other in rows if other.task == row.task} for row in rows}
    return [
        f"{_title(task)}, m = {m}, {_arms(arms, every[task], looks)}" + (f" ({lack})" if lack else "")
        for (task, m, lack), arms in together.items()
    ]


def _arms(arms: list[str], every: set[str], looks: dict[str, Style]) -> str:
    few = len(every) < 3 or set(arms) != every
    return " · ".join(look.label for arm, look in looks.items() if arm in arms) if few else f"all {len(every)} arms"


@styled
def curves(
    frame: pd.DataFrame,
    curves: pa.Table | pd.DataFrame,
    arms: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """Training accuracy against training updates, a panel per task and m, mean and standard error over seeds.

    The axis is linear up to 10 updates, the second measurement, and logarithmic above, where measurements of a network
    that are closer than 1/25 of a decade are averaged first. A panel without a curve is hatched.

    Args:
        frame: rows of `analysis.load_study` or `load_cells`; only completed trials are averaged, and a variant that
            lacks some is drawn thin, with pale markers, and listed under the figure.
        curves: rows of the curves table of its trials: accuracy of the training batch before its update.
        arms, notes: as for `accuracy`.
    Raises:
        AnalysisError: no completed trial has a curve.
    Source: paper Figures 4, 5, 7 and 8.
    """
    drawn = with_curves(frame, curves)
    without = (drawn["status"] != frame["status"]).tolist().count(True)
    rows, means = variant_accuracies(drawn), mean_courses(drawn, curves)
    if not means:
        raise AnalysisError("no completed trial has training curves; run the study first")
    looks = {arm: look for arm, look in _looks(frame, arms).items() if any(a == arm for _, _, a in means)}
    shown = list(dict.fromkeys((row.task, row.withheld) for row in rows))
    places = _curve_places(shown)
    width = {1: 3.4, 2: 5.0}.get(1 + max(column for _, column in places), 7.0)
    handles = [_handle(look) for look in looks.values()] + _curve_conventions(rows)
    below = [_curve_note(rows, without), *notes, *_lacks(drawn, rows, _looks(frame, arms))]
    letters = 21 if width == 7.0 and places[3:] else 30
    figure, panels = sheet(places, width, 1.9, handles, below)
    for panel, (task, m) in zip(panels, shown, strict=True):
        here = {row.arm: row.n < row.planned for row in rows if (row.task, row.withheld) == (task, m)}
        _curves_panel(panel, [(looks[a], means[task, m, a], here[a]) for a in looks if (task, m, a) in means])
        panel.set_title("\n".join([*textwrap.wrap(_title(task), letters, break_on_hyphens=False), f"m = {m}"]))
    label_outer(panels, places, "Training updates", "Training accuracy (%)")
    return figure


def with_curves(frame: pd.DataFrame, curves: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """The frame with completed trials that have no curve as missing."""
    there = curves["trial_id"].unique()
    without = (frame["status"] == "completed") & ~frame["trial_id"].isin(there.tolist())
    return frame.assign(status=frame["status"].mask(without, "missing"))


def _curve_places(shown: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """Row and column of each panel: a row per task, or as many as it takes by fours if every task has one m."""
    tasks = [task for task, _ in shown]
    rows = list(dict.fromkeys(tasks))
    if len(rows) == len(shown):
        return [divmod(i, 4) for i in range(len(shown))]
    return [(rows.index(task), i - tasks.index(task)) for i, task in enumerate(tasks)]


def _curve_note(rows: list[VariantAccuracy], without: int) -> str:
    lacking = f" {without} completed networks have no stored time course, and count as missing here." if without else ""
    return (
        f"{_count(rows)}. Bands: ± standard error of the mean over seeds (ddof 1). Above 100 updates, measurements of a"
        f" network are averaged to {BINS} per decade first.{lacking}"
    )


def _curve_conventions(rows: list[VariantAccuracy]) -> list[Artist]:
    handles: list[Artist] = []
    if any(0 < row.n < row.planned for row in rows):
        handles.append(Line2D([], [], **_curve_line(Style("0.2", "o", "-", ""), True), label="pale: incomplete"))
    return handles + _untrained(rows)


def _curve_line(look: Style, incomplete: bool) -> dict[str, Any]:
    dot: dict[str, Any] = {
        "color": look.color,
        "linestyle": look.line,
        "marker": look.marker,
        "markersize": points(3.5),
    }
    if not incomplete:
        return {**dot, "markeredgewidth": 0}
    return {
        **dot,
        "markerfacecolor": _lighter(look.color, _PALE),
        "markeredgewidth": points(0.7),
        "linewidth": points(0.7),
    }


def _curves_panel(panel: Axes, of_arm: Sequence[tuple[Style, Course, bool]]) -> None:
    """The curves of some arms, each with whether it is of fewer networks than planned; hatched if there is none."""
    for i, (look, (_, update_U, mean_U, sem_U), incomplete) in enumerate(of_arm):
        apart: Any = (_APART * i / len(of_arm), _APART)  # where the first marker is, and how far the next
        gid = "incomplete" if incomplete else "mean"
        panel.plot(update_U, mean_U, **_curve_line(look, incomplete), markevery=apart, gid=gid)
        panel.fill_between(update_U, mean_U - sem_U, mean_U + sem_U, color=look.color, alpha=0.2, linewidth=0)
    if not of_arm:
        panel.axhspan(0, 103, **_UNTRAINED)
    last = max([20.0, *(curve.updates[-1] for _, curve, _ in of_arm)])
    panel.set_xscale("symlog", linthresh=10, linscale=0.5)
    ticks = {update: text for update, text in _DECADES.items() if update <= last}
    panel.set_xticks(list(ticks), list(ticks.values()))
    panel.set_xlim(0, last)
    panel.set_ylim(top=103)
    sns.despine(ax=panel)


@styled
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
    picture = np.full((36 * rows + 4, 36 * columns + 4), 255, np.uint8)  # 4 white pixels between images
    for i, image in enumerate(images_N):
        y, x = 36 * (i // columns) + 4, 36 * (i % columns) + 4
        picture[y : y + 32, x : x + 32] = image
    figure = Figure(figsize=(picture.shape[1] / 100, picture.shape[0] / 100))  # a pixel is 3 x 3 at 300 dpi
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    panel.set_axis_off()
    return figure


def save_all(results: str, study: str, out: str | Path, style: str = "paper") -> list[Path]:
    """Writes every figure the data of a study allow, as PNG, SVG and PDF, and the numbers beside the keys as CSV.

    The names are accuracy, curves, keys_<task>_m<withheld>_seed<seed> (with the arm behind it, if it is not the
    baseline), key_similarity and objects (with the start of the images' hash behind it, if there are several sets).

    Args:
        results: folder or URI the study was run into.
        study: name of the study.
        out: local folder; made if it is not there.
        style: paper or talk.
    Returns:
        The paths of the files.
    Raises:
        AnalysisError: the study is unknown, a file is torn, or ``out`` cannot be written.
    """
    frame = load_study(results, study)
    with using(style):
        paths = save(accuracy(frame), Path(out), "accuracy")
        rows = curves_of(results, frame)
        if len(rows):
            paths += save(curves(frame, rows), Path(out), "curves")
        return paths + save_keys(results, frame, Path(out)) + save_objects(results, frame, Path(out))


def save_keys(results: str, frame: pd.DataFrame, out: Path, name: str | None = None) -> list[Path]:
    """Writes the key space of each network whose keys are stored, and the similarity of their mean keys.

    Args:
        frame: as for `accuracy`; only trials of distribution of three, whose keys a study asked for, are shown.
        name: draws the first network alone, under this name; None: all of them.
    """
    if not has_rows(results, "keys"):
        return []
    keys = frame["keys"].eq(True) & (frame["status"] == "completed") & (frame["task"] == "distribution_of_three")
    paths: list[Path] = []
    similarities: dict[tuple[str, int, str], list[np.ndarray]] = {}
    for trial in frame.loc[keys, ["trial_id", *VARIANT, "seed"]].to_dict("records"):
        table = load_keys(results, trial["trial_id"])  # 0.2 GB, so one at a time
        if not len(table):
            continue
        variant = (trial["task"], int(trial["withheld"]), trial["arm"])
        similarities.setdefault(variant, []).append(similarity(key_geometry.trace(table)))
        if name is None or not paths:
            file = name or _keys_name(*variant, int(trial["seed"]))
            paths += save(key_figures.keys(table), out, file)
            key_geometry.key_summary(table).to_csv(out / f"{file}.csv")
            paths.append(out / f"{file}.csv")
    if similarities:
        titles = {at: f"{_title(at[0])}, m = {at[1]}\n{look.label}" for at, look in _of_variants(similarities).items()}
        of_title = {titles[at]: np.stack(found) for at, found in similarities.items()}
        paths += save(key_figures.similarities(of_title), out, "key_similarity")
    return paths


def _of_variants(at: Iterable[tuple[str, int, str]]) -> dict[tuple[str, int, str], Style]:
    looks = styles(list(dict.fromkeys(arm for _, _, arm in at)))
    return {variant: looks[variant[2]] for variant in at}


def _keys_name(task: str, withheld: int, arm: str, seed: int) -> str:
    suffix = "" if arm == BASELINE else "_" + re.sub(r"[^\w.-]+", "-", arm)
    return f"keys_{task}_m{withheld}_seed{seed}{suffix}"


def save_objects(results: str, frame: pd.DataFrame, out: Path, name: str = "objects") -> list[Path]:
    """Writes the images that the completed trials of a frame used, a figure per set of images."""
    if "images_hash" not in frame or not has_rows(results, "objects"):
        return []
    hashes = frame.loc[frame["status"] == "completed", "images_hash"].dropna().unique().tolist()
    sets = read(results, "objects", rows=pc.field("images_hash").isin(hashes)).to_pandas()
    paths: list[Path] = []
    for images_hash, rows in sets.groupby("images_hash"):
        suffix = f"_{images_hash[:8]}" if sets["images_hash"].nunique() > 1 else ""
        paths += save(objects(rows), out, f"{name}{suffix}")
    return paths
