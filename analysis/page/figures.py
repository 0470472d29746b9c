"""The interactive figures of the report page, as plotly.js takes them: data and layout, plain JSON.

Accuracies are percent here. Every text is escaped, since plotly.js reads a few HTML tags in it. A trace has a ``meta``
by which the page shows and hides it; a point's ``customdata`` is its variant's task, m and arm, where there are rows.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.curves import Course
from analysis.data.published import PUBLISHED_N
from analysis.data.trials import VARIANT
from analysis.figures.palette import STEP_COLORS, Style
from analysis.findings import key_geometry
from analysis.findings.accuracy import VariantAccuracy
from analysis.tables.accuracy import percent
from analysis.tables.printed import interval, p_value
from esbn_core.vocabulary import CHANCE, TASK_TITLES

Figure = dict[str, Any]  # title, data and layout

SPREAD = 0.66  # share of a category that the arms take side by side
FADED = 0.4  # opacity of a variant with fewer trials than planned
PROBLEMS = 60  # of each split and step that a key space shows, evenly spaced in the stored order

_SYMBOLS = {  # of plotly.js, for the markers of `analysis.figures.palette`; glyphs that it lacks have the rest
    "o": "circle", "s": "square", "D": "diamond", "d": "diamond-tall", "^": "triangle-up", "v": "triangle-down",
    "<": "triangle-left", ">": "triangle-right", "P": "cross", "X": "x", "p": "pentagon", "h": "hexagon", "*": "star",
    "$◣$": "triangle-sw", "$◢$": "triangle-se", "$♠$": "star-diamond", "$▬$": "bowtie", "$▮$": "hourglass",
    "$♥$": "star-triangle-down", "$◖$": "octagon", "$♣$": "hexagram",
}  # fmt: skip
_UPDATES = {10: "10", 30: "30", 100: "100", 300: "300", 1_000: "1k", 3_000: "3k", 10_000: "10k", 30_000: "30k",
            100_000: "100k"}  # fmt: skip
_HOVER = "%{text}<extra></extra>"  # the text of the point, and no name of its trace
_ON_DARK, _CONTRAST = 0.012, 4.5  # luminance of the dark page, and least contrast of what is drawn on it


def legend(looks: Mapping[str, Style]) -> list[dict[str, str]]:
    """Each arm, how it is called and how it is drawn."""
    return [
        {"arm": arm, "label": look.label, "color": look.color, "symbol": symbol(look), "dash": dash(look)}
        for arm, look in looks.items()
    ]


def symbol(look: Style) -> str:
    """plotly.js's name for a marker."""
    return _SYMBOLS[look.marker]


def dash(look: Style) -> str:
    """plotly.js's word for a line: solid, or lengths in pixels."""
    return "solid" if isinstance(look.line, str) else ",".join(f"{length}px" for length in look.line[1] or ())


def on_dark(color: str) -> str:
    """The colour, mixed with as much white as it takes to be seen on a dark page."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    lighter = (rgb + share * (1 - rgb) for share in np.linspace(0, 1, 21))
    seen = next(mixed for mixed in lighter if (_luminance(mixed) + 0.05) / (_ON_DARK + 0.05) >= _CONTRAST)
    return "#" + "".join(f"{round(255 * x):02X}" for x in seen)


def _luminance(rgb: np.ndarray) -> float:
    """Of an sRGB colour, [3] from 0 to 1, as WCAG 2 defines it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def accuracy(rows: Sequence[VariantAccuracy], looks: Mapping[str, Style], judged: pd.DataFrame) -> list[Figure]:
    """Test accuracy against withheld objects, a figure per task: ours with standard errors, the paper's hollow.

    Args:
        rows: of `analysis.findings.accuracy.variant_accuracies`.
        looks: the style of each arm, from `analysis.figures.palette.styles`.
        judged: rows of `analysis.findings.reproduction.judge`, for intervals and verdicts.
    """
    intervals = {}
    for row in judged.to_dict("records"):
        told = interval(row["difference_points"], row["low_points"], row["high_points"])
        intervals[row["task"], row["withheld"], row["arm"]] = f"difference {told} points: {row['verdict']}"
    figures = []
    for task in dict.fromkeys(row.task for row in rows):
        here = [row for row in rows if row.task == task]
        withheld, places = _places([(row.withheld, row.arm) for row in here], looks)
        data = []
        for arm in places:
            data += _accuracy_traces([row for row in here if row.arm == arm], places[arm], looks[arm], intervals)
        y_axis = {"title": {"text": "Test accuracy (%)"}, "range": [0, 104]}
        layout = {"xaxis": _m_axis(withheld), "yaxis": y_axis, **_line_at(_chance(task))}
        figures.append({"title": title(task), "data": data, "layout": layout})
    return figures


def _accuracy_traces(
    rows: Sequence[VariantAccuracy], places: Mapping[int, float], look: Style, intervals: Mapping[tuple, str]
) -> list[dict[str, Any]]:
    """Ours, with a gap where no trial has completed, and the paper's."""
    paper = [row for row in rows if not np.isnan(row.published_mean)]
    texts = {row[:3]: _variant_text(row, look, intervals.get(row[:3], "")) for row in rows}
    shape = {"color": look.color, "symbol": symbol(look)}
    marker = {**shape, "size": 8, "opacity": [1 if row.n == row.planned else FADED for row in rows]}
    bars = {
        "array": [_short(100 * np.nan_to_num(row.sem)) for row in rows],
        "color": look.color,
        "thickness": 1.2,
        "width": 0,
    }

    def points(shown: Sequence[VariantAccuracy], means: Sequence[float]) -> dict[str, Any]:
        return {
            "x": [_short(places[row.withheld]) for row in shown],
            "y": [None if np.isnan(mean) else _short(100 * mean) for mean in means],
            "text": [texts[row[:3]] for row in shown],
            "customdata": [list(row[:3]) for row in shown],
            "hovertemplate": _HOVER,
            "meta": {"arm": rows[0].arm},
        }

    line = {"color": look.color, "dash": dash(look), "width": 1}
    ours = {**points(rows, [row.mean for row in rows]), "mode": "lines+markers", "marker": marker, "line": line}
    rings = {**shape, "symbol": f"{symbol(look)}-open", "size": 12}
    theirs = {**points(paper, [row.published_mean for row in paper]), "mode": "markers", "marker": rings}
    return [{**ours, "error_y": bars}, theirs]


def comparison(differences: pd.DataFrame, looks: Mapping[str, Style], baseline: str) -> list[Figure]:
    """Each arm minus the baseline with its 95 % interval, a figure per task; rows of `comparison.pairs`."""
    figures = []
    told = differences.loc[differences["n"] > 0]
    for task, here in told.groupby("task", sort=False):
        withheld, places = _places([(row["withheld"], row["arm"]) for row in here.to_dict("records")], looks)
        data = [_comparison_trace(here.loc[here["arm"] == arm], places[arm], looks[arm], baseline) for arm in places]
        y_axis = {"title": {"text": f"Difference from {html.escape(baseline)} (points)"}}
        layout = {"xaxis": _m_axis(withheld), "yaxis": y_axis, **_line_at(0)}
        figures.append({"title": title(str(task)), "data": data, "layout": layout})
    return figures


def _comparison_trace(rows: pd.DataFrame, places: Mapping[int, float], look: Style, baseline: str) -> dict[str, Any]:
    texts, ends = [], []
    for row in rows.to_dict("records"):
        mean, low, high = (row[f"{end}_points"] for end in ("difference", "low", "high"))
        texts.append(
            f"<b>{html.escape(look.label)}</b> minus {html.escape(baseline)}, {html.escape(title(row['task']))},"
            f" m = {row['withheld']}<br>{interval(mean, low, high)} points (mean and 95 % interval,"
            f" {row['n']} of {row['planned']} pairs)<br>p (Holm) {html.escape(p_value(row['p_holm']))}"
        )
        ends.append((_short(np.nan_to_num(high - mean)), _short(np.nan_to_num(mean - low))))
    return {
        "x": [_short(places[m]) for m in rows["withheld"]],
        "y": [_short(mean) for mean in rows["difference_points"]],
        "text": texts,
        "customdata": rows[VARIANT].to_numpy().tolist(),
        "hovertemplate": _HOVER,
        "meta": {"arm": rows["arm"].iloc[0]},
        "mode": "markers",
        "marker": {"color": look.color, "symbol": symbol(look), "size": 8},
        "error_y": {"array": [up for up, _ in ends], "arrayminus": [down for _, down in ends], "symmetric": False,
                    "color": look.color, "thickness": 1.2, "width": 3},
    }  # fmt: skip


def _places(
    variants: Sequence[tuple[int, str]], looks: Mapping[str, Style]
) -> tuple[list[int], dict[str, dict[int, float]]]:
    """The m of a figure, and where the arms stand at each of them: side by side, so that equal values stay visible."""
    withheld = sorted({m for m, _ in variants})
    arms = [arm for arm in looks if any(arm == other for _, other in variants)]
    shifts = {arm: SPREAD * (i - (len(arms) - 1) / 2) / max(len(arms) - 1, 1) for i, arm in enumerate(arms)}
    return withheld, {arm: {m: x + shifts[arm] for x, m in enumerate(withheld)} for arm in arms}


def _m_axis(withheld: Sequence[int]) -> dict[str, Any]:
    ticks = {"tickvals": [*range(len(withheld))], "ticktext": [str(m) for m in withheld]}
    return {"title": {"text": "Withheld objects m"}, **ticks, "range": [-0.5, len(withheld) - 0.5]}


def _variant_text(row: VariantAccuracy, look: Style, judged: str) -> str:
    lines = [f"<b>{html.escape(look.label)}</b>, {html.escape(title(row.task))}, m = {row.withheld}"]
    lines.append(f"ours {percent(row.mean, row.sem)} % (mean ± SEM, n = {row.n} of {row.planned})")
    if not np.isnan(row.published_mean):
        lines.append(f"paper {percent(row.published_mean, row.published_sem)} % (n = {PUBLISHED_N})")
    return "<br>".join([*lines, judged] if judged else lines)


def courses(means: Mapping[tuple[str, int, str], Course], looks: Mapping[str, Style]) -> list[Figure]:
    """Training accuracy against updates, a figure per task and m: mean, and standard error over seeds as a band."""
    figures = []
    for task, withheld in dict.fromkeys((task, withheld) for task, withheld, _ in means):
        data = []
        for arm, look in looks.items():
            if (task, withheld, arm) in means:
                data += _course_traces(means[task, withheld, arm], [task, withheld, arm], look)
        ticks = {"tickvals": [*_UPDATES], "ticktext": [*_UPDATES.values()]}
        layout = {
            "xaxis": {"title": {"text": "Training updates"}, "type": "log", **ticks},
            "yaxis": {"title": {"text": "Training accuracy (%)"}, "range": [0, 104]},
            **_line_at(_chance(task)),
        }
        figures.append({"title": f"{title(task)}, m = {withheld}", "data": data, "layout": layout})
    return figures


def _course_traces(course: Course, variant: list[Any], look: Style) -> list[dict[str, Any]]:
    """The band and the line; without the measurement before the first update, which has no place on a log axis."""
    later = course.updates > 0
    x, y, sem = ([_short(v) for v in values[later]] for values in (course.updates, course.mean, course.sem))
    low, high = ([_short(a + sign * b) for a, b in zip(y, sem, strict=True)] for sign in (-1, 1))
    meta = {"arm": variant[2]}
    band = {"x": [*x, *x[::-1]], "y": [*high, *low[::-1]], "mode": "lines", "line": {"width": 0}, "fill": "toself",
            "fillcolor": f"{look.color}33", "hoverinfo": "skip", "meta": meta}  # fmt: skip
    name = html.escape(look.label)
    text = [f"<b>{name}</b>, update {u:g}<br>{m:.1f} ± {s:.1f} % (mean ± SEM, n = {course.n})"
            for u, m, s in zip(x, y, sem, strict=True)]  # fmt: skip
    stroke = {"color": look.color, "dash": dash(look), "width": 1.8}
    line = {"x": x, "y": y, "mode": "lines", "line": stroke, "text": text, "hovertemplate": _HOVER,
            "customdata": [variant] * len(x), "meta": meta}  # fmt: skip
    return [band, line]


def key_space(trace: key_geometry.Trace, names: Mapping[int, str]) -> Figure:
    """Written keys by step, and what is read when an object is shown again, in two principal components.

    Training problems are rings and test problems dots. ``meta`` says what a trace holds: k1 .. kT or r1 .. r3, and
    train or test.

    Args:
        trace: what one network wrote and read.
        names: of the objects, by number.
    """
    axes = key_geometry.principal_axes(trace.keys)
    recalled = key_geometry.reads(trace)
    data = []
    for split, train in (("train", True), ("test", False)):
        p = _evenly(np.flatnonzero(trace.train == train))
        for t in range(trace.keys.shape[1]):
            text = [f"<b>k{t + 1}</b>, {split} problem {i}: {html.escape(names.get(int(trace.objects[j, t]), ''))}"
                    for i, j in zip(p - np.flatnonzero(trace.train == train)[0], p, strict=True)]  # fmt: skip
            data.append(_key_trace(axes.project(trace.keys[p, t]), text, f"k{t + 1}", split, t))
        for role in key_geometry.ROLES:
            r = _evenly(np.flatnonzero((recalled.train == train) & (recalled.role == role)))
            text = [f"<b>r{role}</b>, {split}: gate {recalled.gate[i]:.3f}, weight on entry {role}"
                    f" {recalled.weight[i]:.3f}" for i in r]  # fmt: skip
            data.append(_key_trace(axes.project(recalled.read[r]), text, f"r{role}", split, role - 1))
    labels = (f"Component {i + 1} ({100 * share:.1f} % of the variance)" for i, share in enumerate(axes.variance))
    layout = {f"{axis}axis": {"title": {"text": label}} for axis, label in zip("xy", labels, strict=True)}
    return {"title": "", "data": data, "layout": layout}


def _key_trace(points_P2: np.ndarray, text: list[str], key: str, split: str, step: int) -> dict[str, Any]:
    shape = {"k": "circle", "r": "diamond"}[key[0]] + ("-open" if split == "train" else "")
    marker = {"color": STEP_COLORS[step % len(STEP_COLORS)], "symbol": shape, "size": 7, "opacity": 0.8}
    x, y = ([_short(v) for v in column] for column in points_P2.T)
    return {"x": x, "y": y, "mode": "markers", "marker": marker, "text": text, "meta": {"key": key, "split": split},
            "hovertemplate": _HOVER}  # fmt: skip


def _evenly(rows: np.ndarray) -> np.ndarray:
    """At most `PROBLEMS` of them, at even distances."""
    return rows[np.linspace(0, len(rows) - 1, min(PROBLEMS, len(rows)), dtype=int)]


def title(task: str) -> str:
    """The task in words."""
    return TASK_TITLES.get(task, task)


def _chance(task: str) -> float | None:
    return 100 * CHANCE[task] if task in CHANCE else None


def _line_at(y: float | None) -> dict[str, Any]:
    """A dotted line over the whole width, where there is a height for it."""
    line = {"color": "#808080", "dash": "2px,2px", "width": 1}
    return (
        {}
        if y is None
        else {"shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}]}
    )


def _short(value: float) -> float:
    return float(f"{value:.5g}")
