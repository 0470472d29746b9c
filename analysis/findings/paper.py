"""Our trials of every cell of the paper's Tables 9 to 20, from any study.

An arm's label names its changes to the paper's ESBN, so equal task, m and label mean equal settings.
"""

from typing import NamedTuple

from analysis.data.cells import load_cells, load_external
from analysis.data.published import PUBLISHED_N, Published, published, published_cells
from analysis.data.trials import VARIANT
from analysis.statistics.summary import Summary, summarise
from esbn_core.vocabulary import Cell
from study.store.location import Place


class PaperCell(NamedTuple):
    """A cell of a table of the paper, with our trials of it; accuracies are fractions."""

    cell: Cell
    ours: Summary
    paper: Published
    doubt: str | None
    """Why ours cannot be averaged; see `load_cells`."""


def paper_cells(results: Place) -> list[PaperCell]:
    """Returns every cell of Tables 9 to 20 in the paper's order.

    Args:
        results: folder or URI of the result store; it need not exist yet.
    Returns:
        The cells; n = 0 if no trial of ours has completed, or if they are doubtful.
    Raises:
        AnalysisError: as for `load_cells`.
    """
    trials, _ = load_cells(results, list(published()), PUBLISHED_N)
    doubtful = trials.loc[trials["doubt"].notna()]
    doubts = dict(zip(zip(*(doubtful[c] for c in VARIANT), strict=True), doubtful["doubt"], strict=True))
    completed = trials.loc[trials["status"] == "completed"]
    accuracies = {at: of_cell.tolist() for at, of_cell in completed.groupby(VARIANT)["test_accuracy"]}
    return [
        PaperCell(Cell(*at), summarise(accuracies.get(at, [])), paper, doubts.get(at))
        for at, paper in published_cells()
    ]


def other_code(results: Place) -> dict[str, dict[Cell, Summary]]:
    """Returns the results of other code by origin and cell; empty if none were imported.

    Raises:
        AnalysisError: as for `load_external`.
    """
    origins: dict[str, dict[Cell, Summary]] = {}
    for _, of_cell in load_external(results).groupby(["origin", *VARIANT]):
        origin, *at = of_cell[["origin", *VARIANT]].iloc[0].tolist()
        origins.setdefault(origin, {})[Cell(*at)] = summarise(of_cell["test_accuracy"].tolist())
    return origins
