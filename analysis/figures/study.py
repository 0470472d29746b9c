"""Figure files of a study, as written by `esbn figures`."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from analysis.data.curves import curves_of
from analysis.data.results import has_rows, read
from analysis.data.trials import load_study
from analysis.figures.accuracy import draw_accuracy
from analysis.figures.convergence import draw_convergence
from analysis.figures.curves import draw_curves
from analysis.figures.description import task_title
from analysis.figures.keys import draw_keys, draw_similarities
from analysis.figures.objects import draw_objects
from analysis.figures.palette import styles
from analysis.figures.sheet import drawing_for, save
from analysis.findings import key_geometry
from analysis.findings.convergence import updates_to_criterion
from analysis.findings.key_measures import similarity
from analysis.findings.key_trials import n_same, stored_keys, without_keys
from esbn_core.vocabulary import BASELINE, Cell
from study.store.location import Place


def save_all(
    results: Place, study: str, out: str | Path, medium: str = "paper", tell: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Writes all figures for which a study has data, as PNG, SVG and PDF, and the numbers on keys as CSV.

    The names are accuracy, curves, convergence, keys_<task>_m<withheld>_seed<seed> (followed by the arm unless it is
    the baseline), key_similarity and objects (followed by the start of the images' hash if there are several sets).

    Args:
        results: folder or URI of the result store.
        study: name of the study.
        out: local folder; created if it does not exist.
        medium: paper or talk.
        tell: receives a line for each reason why networks have no figure of their keys.
    Returns:
        The paths of the files.
    Raises:
        AnalysisError: the study is unknown, or ``out`` cannot be written.
    """
    frame = load_study(results, study)
    with drawing_for(medium):
        paths = save(draw_accuracy(frame), Path(out), "accuracy")
        curves = curves_of(results, frame)
        if len(curves):
            paths += save(draw_curves(frame, curves), Path(out), "curves")
            networks = updates_to_criterion(frame, curves)
            if len(networks["updates"].dropna()):
                paths += save(draw_convergence(frame, networks), Path(out), "convergence")
        for line in without_keys(results, frame.loc[frame["keys"].eq(True)]):
            tell(line)
        return paths + save_keys(results, frame, Path(out)) + save_objects(results, frame, Path(out))


def save_keys(results: Place, frame: pd.DataFrame, out: Path, name: str | None = None) -> list[Path]:
    """Writes the key space of each network whose keys are stored, and the similarity of their mean keys.

    Args:
        frame: as for `analysis.findings.key_trials.stored_keys`.
        name: draws only the first network, under this name; None: all networks.
    """
    paths: list[Path] = []
    cosines: dict[Cell, list[np.ndarray]] = {}
    same: dict[Cell, int] = {}
    for trial, keys in stored_keys(results, frame):
        cell = Cell(trial["task"], int(trial["withheld"]), trial["arm"])
        cosines.setdefault(cell, []).append(similarity(key_geometry.trace(keys)))
        same[cell] = n_same(trial)
        if name is None or not paths:
            file = name or _keys_name(cell, int(trial["seed"]))
            paths += save(draw_keys(keys, cell.task, same[cell]), out, file)
            key_geometry.key_summary(keys).to_csv(out / f"{file}.csv")
            paths.append(out / f"{file}.csv")
    if cosines:
        style_of_arm = styles(list(dict.fromkeys(cell.arm for cell in cosines)))
        titles = [f"{task_title(task)}, m = {m}\n{style_of_arm[arm].label}" for task, m, arm in cosines]
        of_title = dict(zip(titles, map(np.stack, cosines.values()), strict=True))
        figure = draw_similarities(of_title, dict(zip(titles, same.values(), strict=True)))
        paths += save(figure, out, "key_similarity")
    return paths


def _keys_name(cell: Cell, seed: int) -> str:
    suffix = "" if cell.arm == BASELINE else "_" + re.sub(r"[^\w.-]+", "-", cell.arm)
    return f"keys_{cell.task}_m{cell.withheld}_seed{seed}{suffix}"


def save_objects(results: Place, frame: pd.DataFrame, out: Path, name: str = "objects") -> list[Path]:
    """Writes the images of a frame's completed trials, one figure per set of images."""
    if "images_hash" not in frame or not has_rows(results, "objects"):
        return []
    hashes = frame.loc[frame["status"] == "completed", "images_hash"].dropna().unique().tolist()
    sets = read(results, "objects", rows=pc.field("images_hash").isin(hashes)).to_pandas()
    paths: list[Path] = []
    for images_hash, objects in sets.groupby("images_hash"):
        suffix = f"_{images_hash[:8]}" if sets["images_hash"].nunique() > 1 else ""
        paths += save(draw_objects(objects), out, f"{name}{suffix}")
    return paths
