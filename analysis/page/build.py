"""The report of a study: one self-contained web page with the same text that `esbn` prints.

The folder assets/ has its template, style and script, and two libraries from npm: plotly.js-basic-dist-min 4.1.1 (MIT)
for figures, and sortable-tablesort 4.1.7 (public domain) for sorting tables.
"""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from analysis.data.curves import BINS, curves_of, mean_courses
from analysis.data.results import has_rows, read
from analysis.data.trials import VARIANT, load_study
from analysis.errors import AnalysisError, choices
from analysis.figures.description import task_title
from analysis.figures.palette import STEP_COLORS, styles
from analysis.findings import key_geometry
from analysis.findings.accuracy import variant_accuracies
from analysis.findings.audit import audit_study
from analysis.findings.comparison import check_arms, pairs
from analysis.findings.convergence import CRITERION, WINDOW, updates_to_criterion
from analysis.findings.interim import n_looks
from analysis.findings.key_measures import by_step
from analysis.findings.key_trials import any_wanted, n_same, stored_keys, without_keys
from analysis.findings.reproduction import verdicts
from analysis.findings.topup import bought
from analysis.page import figures, tables
from analysis.tables import accuracy, audit, comparison, convergence, key_measures, reproduction
from analysis.tables.printed import PrintedTable, render
from esbn_core.files import write_file
from esbn_core.printable import printable
from esbn_core.vocabulary import BASELINE, TUNED, plain_arm
from study.store.location import Place


def write(results: Place, study: str, out: str | Path, command: str | None = None, baseline: str | None = None) -> Path:
    """Writes the report of a study as ``out``/index.html; equal stores give equal pages.

    Args:
        results: folder or URI of the result store.
        study: name of the study.
        out: local folder; created if it does not exist.
        command: argument of `esbn run` for the study, a name or a file; None: its name.
        baseline: arm to compare the others with; None: `plain_arm`.
    Raises:
        AnalysisError: no trial of the study has completed, study or baseline is unknown, or ``out`` cannot be written.
    """
    page = html(results, study, command or study, baseline)
    path = Path(out) / "index.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, page.encode())
    except OSError as error:
        raise AnalysisError(f"out={str(out)!r} cannot be written: {error.strerror}; name another folder") from None
    return path


def html(results: Place, study: str, command: str, baseline: str | None = None) -> str:
    """Returns the page; arguments and errors as for `write`."""
    frame = load_study(results, study)
    completed = frame.loc[frame["status"] == "completed"]
    if completed.empty:
        raise AnalysisError(f"study={study!r} has no completed trial to report yet; run it first")
    arms = list(dict.fromkeys(frame["arm"]))
    baseline = baseline or plain_arm(arms)
    if baseline not in (BASELINE, *arms):  # a study may lack the default
        raise AnalysisError(f"baseline={baseline!r} is not an arm of {study}; {choices(baseline, arms)}")
    rows, style_of_arm = variant_accuracies(frame), styles(arms)
    judged = verdicts(frame) if any(row.source for row in rows) else pd.DataFrame()
    checks = audit_study(results, frame)
    networks, curves = _key_spaces(results, frame), curves_of(results, frame)
    speed = updates_to_criterion(frame, curves) if len(curves) else None
    drawn = {
        "legend": figures.legend(style_of_arm),
        "accuracy": figures.accuracy_figures(rows, style_of_arm, judged),
        "comparison": figures.comparison_figures(pairs(frame, baseline), style_of_arm, baseline),
        "courses": figures.curve_figures(rows, mean_courses(frame, curves), style_of_arm),
        "convergence": [] if speed is None else figures.convergence_figures(speed, style_of_arm),
        "keys": list(networks.values()),
    }
    colors = {style.color for style in style_of_arm.values()} | set(STEP_COLORS)
    return _template().render(
        asset=lambda name: Markup(_asset(name)),
        study=study,
        baseline=baseline,
        question=_said(frame, "question"),
        source=_said(frame, "source"),
        counts={status: frame["status"].tolist().count(status) for status in ("completed", "failed", "missing")},
        verdict_counts=Counter(judged["verdict"]) if len(judged) else {},
        checks_passed=(sum(checks["passed"].tolist()), len(checks)),
        coverage=_rendered([tables.coverage(rows)], accuracy.incomplete(rows)),
        failures=_rendered([tables.failures(frame)]),
        accuracy_table=Markup(accuracy.report(pd.DataFrame(rows), "html")),
        verdicts=Markup(reproduction.report(judged, "html")) if len(judged) else None,
        comparison=_printed(lambda: _compared(frame, study, baseline)),
        convergence=speed is not None and Markup(convergence.report(speed, CRITERION, WINDOW, "html")),
        symbols=networks and _printed(lambda: key_measures.report(by_step(results, frame), "html")),
        steps=sorted({trace["meta"]["key"] for figure in networks.values() for trace in figure["data"]}),
        shown_problems=figures.PROBLEMS,
        networks=list(networks),
        without_keys=without_keys(results, frame) if any_wanted(frame) else [],
        protocol=_rendered(tables.protocol(completed)),
        audit=Markup(audit.report(checks, "html")),
        trials=_rendered([tables.trials(frame)]),
        provenance=_rendered([tables.provenance(completed)]),
        cost=_rendered([tables.cost(frame)], tables.cost_notes(frame)),
        commands=_commands(command, results, frame, baseline),
        bins=BINS,
        drawn=drawn,
        dark={color: figures.on_dark(color) for color in sorted(colors)},
        generator=f"esbn-study {version('esbn-study')}",
    )


def _template() -> Template:
    """Returns the page template; inserted values are escaped, including control characters."""
    environment = Environment(
        loader=PackageLoader("analysis.page", "assets"),
        autoescape=True,
        finalize=lambda value: printable(value, keep="\n") if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("template.html")


def _asset(name: str) -> str:
    return Path(__file__).parent.joinpath("assets", name).read_text(encoding="utf-8")


def _rendered(tables: Sequence[PrintedTable], notes: Sequence[str] = ()) -> Markup:
    """Returns the non-empty tables and the notes as HTML."""
    return Markup(render([table for table in tables if table.rows], notes, [], "html"))


def _printed(report: Callable[[], str]) -> Markup:
    """Returns the output of a report, or why it has none."""
    try:
        return Markup(report())
    except AnalysisError as error:
        return Markup("<p>{}.</p>").format(printable(str(error)))


def _compared(frame: pd.DataFrame, study: str, baseline: str) -> str:
    check_arms(frame, study, baseline)
    return comparison.by_seed(frame, baseline, "html")


def _said(frame: pd.DataFrame, column: str) -> str:
    """Returns a column of the plan on the study."""
    said = frame[column].dropna().tolist() if column in frame else []
    return str(said[-1]) if said else ""


def _commands(command: str, results: Place, frame: pd.DataFrame, baseline: str) -> list[str]:
    """Returns the commands that reproduce this page from a checkout of this project."""
    commits = frame["commit"].dropna().unique() if "commit" in frame else []
    place = f"{shlex.quote(command)} --results {shlex.quote(os.fspath(results))}"
    base = "" if baseline == plain_arm(set(frame["arm"])) else f" --baseline {shlex.quote(baseline)}"
    return [
        *(f"git checkout {shlex.quote(str(commit))}" for commit in commits[:1]),
        "make .venv/installed && source .venv/bin/activate",
        _training(command, place, frame),
        f"esbn verdict {place}",
        f"esbn compare {place}{base}",
        f"esbn converge {place}",
        f"esbn audit {place}",
        f"esbn report {place}{base}",
    ]


def _training(command: str, place: str, frame: pd.DataFrame) -> str:
    if "search" in frame and len(frame["search"].dropna()):  # the tuned arms of a study
        return f"esbn run {place.replace(shlex.quote(command), shlex.quote(command.removesuffix(TUNED)), 1)} --tuned"
    if (looks := n_looks(frame)) > 1:
        return f"esbn topup {place} --budget {bought(frame)} --looks {looks}    # with its original --for"
    seeds = frame.groupby(VARIANT)["seed"].nunique().unique()
    return f"esbn run {place} --seeds {seeds[0]}" if len(seeds) == 1 else f"esbn run {place}"


def _key_spaces(results: Place, frame: pd.DataFrame) -> dict[str, figures.Figure]:
    """Makes key space figures, by name of the network."""
    of_network, names = {}, {}
    for row, keys in stored_keys(results, frame):
        names = names or _object_names(results)
        name = f"{task_title(row['task'])}, m = {row['withheld']}, {row['arm']}, seed {row['seed']}"
        object_names = names.get(str(row.get("images_hash")), {})
        trace = key_geometry.trace(keys)
        of_network[name] = figures.key_space_figure(trace, object_names, row["task"], n_same(row))
    return of_network


def _object_names(results: Place) -> dict[str, dict[int, str]]:
    if not has_rows(results, "objects"):
        return {}
    names: dict[str, dict[int, str]] = {}
    for row in read(results, "objects", ["images_hash", "object", "name"]).to_pylist():
        names.setdefault(row["images_hash"], {})[row["object"]] = row["name"]
    return names
