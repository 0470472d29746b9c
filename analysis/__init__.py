"""Results of studies as frames, SQL answers, tables and figures; figures are in `analysis.figures`."""

from analysis.errors import AnalysisError
from analysis.load import load, load_study
from analysis.query import query
from analysis.tables import table

__all__ = ["AnalysisError", "load", "load_study", "query", "table"]
