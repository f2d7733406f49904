"""Where rewards conflict: the analysis of rollouts, its findings, tables and page."""

from concord.report.analysis import Analysis
from concord.report.stream import analyse

__all__ = ["Analysis", "analyse"]
