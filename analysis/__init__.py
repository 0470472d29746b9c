"""Results of studies as frames, SQL answers, tables and figures; `analysis.figures.study` writes the figures."""

from analysis.data.query import query
from analysis.data.trials import load, load_study
from analysis.errors import AnalysisError
from analysis.findings.accuracy import table

__all__ = ["AnalysisError", "load", "load_study", "query", "table"]
