"""The contract of a reward function: a score for each completion, whatever it says, and whenever it is asked."""

from concord.rewards.check.finding import FAULT, OK, WARNING, Finding
from concord.rewards.check.report import Report, check
from concord.rewards.check.rows import make_batch, own_rows
from concord.rewards.check.texts import Case, cases

__all__ = ["FAULT", "OK", "WARNING", "Case", "Finding", "Report", "cases", "check", "make_batch", "own_rows"]
