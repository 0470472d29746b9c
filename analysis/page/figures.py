"""Interactive figures of the report page, as data and layout for plotly.js in plain JSON.

All text is escaped, since plotly.js interprets some HTML tags. The page shows and hides a trace by its ``meta``; a
point's ``customdata`` is its variant's task, m and arm, if there are rows for it.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.curves import Course
from analysis.data.published import PUBLISHED_N
from analysis.data.trials import VARIANT
from analysis.figures import description
from analysis.figures.description import ArmAccuracy, ArmCurve, ArmSteps, KeyPoints, task_title
from analysis.figures.palette import Style, step_color
from analysis.findings import key_geometry
from analysis.findings.accuracy import VariantAccuracy, as_printed
from analysis.findings.convergence import PAPER
from analysis.tables.accuracy import percent
from analysis.tables.printed import interval, p_value
from esbn_core.vocabulary import Cell

Figure = dict[str, Any]  # title, data (a list of traces) and layout; for keys also a note
Trace = dict[str, Any]

_SPREAD = 0.66  # width of the arms side by side, as a share of the distance between two m
_FADED = 0.4  # opacity of a variant with fewer trials than planned
PROBLEMS = 60  # problems shown per split and step of a key space, evenly spaced in the stored order

_SYMBOLS = {  # plotly.js symbols for the markers of `analysis.figures.palette`; missing glyphs get the rest
    "o": "circle", "s": "square", "D": "diamond", "d": "diamond-tall", "^": "triangle-up", "v": "triangle-down",
    "<": "triangle-left", ">": "triangle-right", "P": "cross", "X": "x", "p": "pentagon", "h": "hexagon", "*": "star",
    "$◣$": "triangle-sw", "$◢$": "triangle-se", "$♠$": "star-diamond", "$▬$": "bowtie", "$▮$": "hourglass",
    "$♥$": "star-triangle-down", "$◖$": "octagon", "$♣$": "hexagram",
}  # fmt: skip
_UPDATES = {1: "1", 3: "3", 10: "10", 30: "30", 100: "100", 300: "300", 1_000: "1k", 3_000: "3k", 10_000: "10k",
            30_000: "30k", 100_000: "100k"}  # fmt: skip
_HOVER = "%{text}<extra></extra>"  # the text of the point, without the name of its trace
_ON_DARK, _CONTRAST = 0.012, 4.5  # luminance of the dark page, and smallest contrast of marks on it


def legend(style_of_arm: Mapping[str, Style]) -> list[dict[str, str]]:
    """Returns label and style of each arm."""
    return [
        {"arm": arm, "label": style.label, "color": style.color, "symbol": _SYMBOLS[style.marker], "dash": _dash(style)}
        for arm, style in style_of_arm.items()
    ]


def _dash(style: Style) -> str:
    """Returns plotly.js's value for a line: solid, or lengths in pixels."""
    return "solid" if isinstance(style.line, str) else ",".join(f"{length}px" for length in style.line[1])


def on_dark(color: str) -> str:
    """Returns the colour, mixed with enough white to be visible on a dark page."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    lighter = (rgb + share * (1 - rgb) for share in np.linspace(0, 1, 21))
    seen = next(mixed for mixed in lighter if (_luminance(mixed) + 0.05) / (_ON_DARK + 0.05) >= _CONTRAST)
    return "#" + "".join(f"{round(255 * x):02X}" for x in seen)


def _luminance(rgb: np.ndarray) -> float:
    """Returns the luminance of an sRGB colour, [3] from 0 to 1, as WCAG 2 defines it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def accuracy_figures(
    rows: Sequence[VariantAccuracy], style_of_arm: Mapping[str, Style], judged: pd.DataFrame
) -> list[Figure]:
    """Makes figures of test accuracy against m, one per task: ours with standard errors, the paper's hollow.

    Args:
        rows: from `analysis.findings.accuracy.variant_accuracies`.
        style_of_arm: from `analysis.figures.palette.styles`.
        judged: rows of `analysis.findings.reproduction.judge`, for intervals and verdicts.
    """
    verdicts = {}
    for row in judged.to_dict("records"):
        difference = interval(row["difference_points"], row["low_points"], row["high_points"])
        cell = Cell(row["task"], row["withheld"], row["arm"])
        verdicts[cell] = f"difference {difference} points: {row['verdict']}"
    figures = []
    for panel in description.accuracy_panels(as_printed(rows), style_of_arm, _SPREAD):
        data = [trace for arm in panel.arms for trace in _accuracy_traces(arm, verdicts)]
        y_axis = {"title": {"text": description.TEST_ACCURACY}, "range": [0, 104]}
        figures.append(_figure(panel.title, data, _m_axis(panel.withheld), y_axis, panel.chance))
    return figures


def _accuracy_traces(arm: ArmAccuracy, verdicts: Mapping[Cell, str]) -> list[Trace]:
    """Makes the traces of an arm: ours, with gaps if no trial has completed, and the paper's."""
    color, symbol = arm.style.color, _SYMBOLS[arm.style.marker]
    texts = [_variant_text(row, arm.style, verdicts.get(Cell(*row[:3]), "")) for row in arm.rows]

    def trace(mean_M: np.ndarray, shown: Sequence[int], marker: dict[str, Any], **more: Any) -> Trace:
        xy = [arm.x_M[i] for i in shown], [mean_M[i] for i in shown]
        cells = [list(arm.rows[i][:3]) for i in shown]
        more |= {"customdata": cells, "marker": {"color": color, **marker}}
        return _trace(*xy, [texts[i] for i in shown], {"arm": arm.rows[0].arm}, **more)

    filled = {"symbol": symbol, "size": 8, "opacity": [1 if whole else _FADED for whole in arm.whole_M]}
    line = {"color": color, "dash": _dash(arm.style), "width": 1}
    bars = {"array": [_short(sem) for sem in arm.sem_M], "color": color, "thickness": 1.2, "width": 0}
    published = np.flatnonzero(~np.isnan(arm.paper_M)).tolist()
    return [
        trace(arm.mean_M, range(len(arm.rows)), filled, mode="lines+markers", line=line, error_y=bars),
        trace(arm.paper_M, published, {"symbol": f"{symbol}-open", "size": 12}, mode="markers"),
    ]


def _variant_text(row: VariantAccuracy, style: Style, verdict: str) -> str:
    lines = [f"<b>{html.escape(style.label)}</b>, {html.escape(task_title(row.task))}, m = {row.withheld}"]
    lines.append(f"ours {percent(row.mean, row.sem)} % (mean ± SEM, n = {row.n} of {row.planned})")
    if not np.isnan(row.published_mean):
        lines.append(f"paper {percent(row.published_mean, row.published_sem)} % (n = {PUBLISHED_N})")
    return "<br>".join([*lines, verdict] if verdict else lines)


def comparison_figures(differences: pd.DataFrame, style_of_arm: Mapping[str, Style], baseline: str) -> list[Figure]:
    """Makes figures of each arm minus the baseline with its 95 % interval, one per task; rows of `comparison.pairs`."""
    figures = []
    for task, here in differences.loc[differences["n"] > 0].groupby("task", sort=False):
        variants = list(zip(here["withheld"].tolist(), here["arm"], strict=True))
        withheld, places = description.side_by_side(variants, style_of_arm, _SPREAD)
        of_arm = {arm: here.loc[here["arm"] == arm] for arm in places}
        data = [_comparison_trace(of_arm[arm], places[arm], style_of_arm[arm], baseline) for arm in places]
        y_axis = {"title": {"text": f"Difference from {html.escape(baseline)} (points)"}}
        figures.append(_figure(task_title(str(task)), data, _m_axis(withheld), y_axis, 0))
    return figures


def _comparison_trace(rows: pd.DataFrame, places: Mapping[int, float], style: Style, baseline: str) -> Trace:
    texts, ups, downs = [], [], []
    for row in rows.to_dict("records"):
        mean, low, high = (row[f"{end}_points"] for end in ("difference", "low", "high"))
        texts.append(
            f"<b>{html.escape(style.label)}</b> minus {html.escape(baseline)}, {html.escape(task_title(row['task']))},"
            f" m = {row['withheld']}<br>{interval(mean, low, high)} points (mean and 95 % interval,"
            f" {row['n']} of {row['planned']} pairs)<br>p (corrected) {html.escape(p_value(row['p_corrected']))}"
        )
        ups.append(_short(np.nan_to_num(high - mean)))
        downs.append(_short(np.nan_to_num(mean - low)))
    x, meta = [places[m] for m in rows["withheld"]], {"arm": rows["arm"].iloc[0]}
    bars = {"array": ups, "arrayminus": downs, "symmetric": False, "color": style.color, "thickness": 1.2, "width": 3}
    marker = {"color": style.color, "symbol": _SYMBOLS[style.marker], "size": 8}
    more = {"customdata": rows[VARIANT].to_numpy().tolist(), "mode": "markers", "marker": marker, "error_y": bars}
    return _trace(x, rows["difference_points"], texts, meta, **more)


def _m_axis(withheld: Sequence[int]) -> dict[str, Any]:
    ticks = {"tickvals": [*range(len(withheld))], "ticktext": [str(m) for m in withheld]}
    return {"title": {"text": description.WITHHELD}, **ticks, "range": [-0.5, len(withheld) - 0.5]}


def curve_figures(
    rows: Sequence[VariantAccuracy], courses: Mapping[tuple[str, int, str], Course], style_of_arm: Mapping[str, Style]
) -> list[Figure]:
    """Makes figures of training accuracy against updates, one per task and m: mean, and standard error as a band.

    Args:
        rows, courses, style_of_arm: as for `curve_panels`.
    """
    y_axis = {"title": {"text": description.TRAINING_ACCURACY}, "range": [0, 104]}
    figures = []
    for panel in description.curve_panels([(task, m) for task, m, _ in courses], rows, courses, style_of_arm):
        data = [trace for curve in panel.arms for trace in _curve_traces(curve)]
        title = f"{panel.title}, m = {panel.withheld}"
        figures.append(_figure(title, data, _updates_axis(), y_axis, panel.chance))
    return figures


def _updates_axis() -> dict[str, Any]:
    ticks = {"tickvals": [*_UPDATES], "ticktext": [*_UPDATES.values()]}
    return {"title": {"text": description.UPDATES}, "type": "log", **ticks}


def _curve_traces(curve: ArmCurve) -> list[Trace]:
    """Makes band and line, without the measurement before the first update, which a log axis cannot show."""
    course, color = curve.course, curve.style.color
    later = course.updates > 0
    x, y, sem = ([_short(v) for v in values[later]] for values in (course.updates, course.mean, course.sem))
    low, high = ([_short(a + sign * b) for a, b in zip(y, sem, strict=True)] for sign in (-1, 1))
    meta = {"arm": curve.cell.arm}
    band = {"x": [*x, *x[::-1]], "y": [*high, *low[::-1]], "mode": "lines", "line": {"width": 0}, "fill": "toself",
            "fillcolor": f"{color}33", "hoverinfo": "skip", "meta": meta}  # fmt: skip
    name = html.escape(curve.style.label)
    text = [f"<b>{name}</b>, update {u:g}<br>{m:.1f} ± {s:.1f} % (mean ± SEM, n = {course.n})"
            for u, m, s in zip(x, y, sem, strict=True)]  # fmt: skip
    line = {"color": color, "dash": _dash(curve.style), "width": 1.8}
    return [band, _trace(x, y, text, meta, customdata=[list(curve.cell)] * len(x), mode="lines", line=line)]


def convergence_figures(networks: pd.DataFrame, style_of_arm: Mapping[str, Style]) -> list[Figure]:
    """Makes figures of the share of networks at criterion against updates, one per task and m, with the paper's range.

    Args:
        networks, style_of_arm: as for `convergence_panels`.
    """
    y_axis = {"title": {"text": description.AT_CRITERION}, "range": [-2, 104]}
    ends = {"x0": PAPER[0], "x1": PAPER[1], "y0": 0, "y1": 1}
    band = {"type": "rect", "yref": "paper", **ends, "fillcolor": "#80808030", "line": {"width": 0}, "layer": "below"}
    figures = []
    for panel in description.convergence_panels(networks, style_of_arm):
        if panel.arms:
            title, data = f"{panel.title}, m = {panel.withheld}", [_steps_trace(arm) for arm in panel.arms]
            figure = _figure(title, data, _updates_axis(), y_axis, None)
            figure["layout"]["shapes"] = [band]
            figures.append(figure)
    return figures


def _steps_trace(arm: ArmSteps) -> Trace:
    """Makes the steps from update 1 on, since a log axis cannot show 0; the last point is the end of training."""
    name = html.escape(arm.style.label)
    texts = [
        f"<b>{name}</b>, update {update:g}<br>{share:.0f} % of {arm.n} networks at criterion"
        for update, share in zip(*arm.steps, strict=True)
    ]
    if arm.censored:
        texts[-1] += f"; {arm.censored} do not reach it"
    times = np.maximum(arm.steps.times_T, 1)
    line = {"color": arm.style.color, "dash": _dash(arm.style), "width": 1.8, "shape": "hv"}
    marker = {"color": arm.style.color, "symbol": _SYMBOLS[arm.style.marker], "size": 7}
    more = {"mode": "lines+markers", "line": line, "marker": marker, "opacity": _FADED if arm.incomplete else 1}
    cells = [list(arm.cell)] * len(times)
    return _trace(times, arm.steps.share_T, texts, {"arm": arm.cell.arm}, customdata=cells, **more)


def key_space_figure(trace: key_geometry.Trace, names: Mapping[int, str], task: str, same: int) -> Figure:
    """Makes the figure of written keys by step, and of reads when an object is shown again.

    Training problems are rings and test problems dots. ``meta`` names the content of a trace: k1 .. kT or r1 .. rT, and
    train or test; ``note`` explains the steps, and which keys agree by construction.

    Args:
        trace: keys written and read by one network.
        names: names of the objects, by number.
        task: task of the network.
        same: number of first steps that write the same key by construction, from `key_trials.n_same`.
    """
    recalled = key_geometry.reads(trace)
    space = description.key_space(trace, recalled)
    data = []
    for split, train in (("train", True), ("test", False)):
        first = np.flatnonzero(trace.train == train)[0]
        for key in space.written:
            p = _evenly(key.train == train)
            text = [f"<b>{key.name}</b>, {split} problem {i - first}:"
                    f" {html.escape(names.get(int(trace.objects[i, key.step - 1]), ''))}" for i in p]  # fmt: skip
            data.append(_key_trace(key, p, text, split))
        for read in space.read:
            r = _evenly(read.train == train)
            text = [f"<b>{read.name}</b>, {split}: gate {recalled.gate[i]:.3f}, weight on entry {read.step}"
                    f" {recalled.weight[i]:.3f}" for i in np.flatnonzero(recalled.role == read.step)[r]]  # fmt: skip
            data.append(_key_trace(read, r, text, split))
    x_axis, y_axis = ({"title": {"text": space.label(component, " of the variance")}} for component in (1, 2))
    note = f"{description.STEPS_SHOW.get(task, '')} {description.agreement(same, len(space.written))}".strip()
    return {**_figure("", data, x_axis, y_axis, None), "note": note}


def _key_trace(key: KeyPoints, rows: np.ndarray, text: list[str], split: str) -> Trace:
    shape = {"k": "circle", "r": "diamond"}[key.name[0]] + ("-open" if split == "train" else "")
    marker = {"color": step_color(key.step), "symbol": shape, "size": 7, "opacity": 0.8}
    x_P, y_P = key.points[rows].T
    return _trace(x_P, y_P, text, {"key": key.name, "split": split}, mode="markers", marker=marker)


def _evenly(wanted: np.ndarray) -> np.ndarray:
    """Returns at most `PROBLEMS` of the wanted rows, evenly spaced."""
    rows = np.flatnonzero(wanted)
    return rows[np.linspace(0, len(rows) - 1, min(PROBLEMS, len(rows)), dtype=int)]


def _trace(x: Iterable[float], y: Iterable[float], text: list[str], meta: dict[str, str], **more: Any) -> Trace:
    """Makes a trace of points with hover text; NaN is a gap."""
    y_values = [None if np.isnan(value) else _short(value) for value in y]
    return {"x": [*map(_short, x)], "y": y_values, "text": text, "meta": meta, "hovertemplate": _HOVER, **more}


def _figure(
    title: str, data: list[Trace], x_axis: dict[str, Any], y_axis: dict[str, Any], level: float | None
) -> Figure:
    """Makes a figure, optionally with a dotted line over the whole width at a level of y."""
    layout: dict[str, Any] = {"xaxis": x_axis, "yaxis": y_axis}
    if level is not None:
        line = {"color": "#808080", "dash": "2px,2px", "width": 1}
        ends = {"x0": 0, "x1": 1, "y0": level, "y1": level}
        layout["shapes"] = [{"type": "line", "xref": "paper", **ends, "line": line}]
    return {"title": title, "data": data, "layout": layout}


def _short(value: float) -> float:
    return float(f"{value:.5g}")
