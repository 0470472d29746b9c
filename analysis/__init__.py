"""Results of studies as frames, SQL answers, tables and figures; `analysis.figures.study` writes the figures."""

from analysis.data.query import query
from analysis.data.results import load
from analysis.data.trials import load_study
from analysis.errors import AnalysisError
from analysis.findings.accuracy import table
from study.store.errors import StoreError

__all__ = ["AnalysisError", "StoreError", "load", "load_study", "query", "table"]
