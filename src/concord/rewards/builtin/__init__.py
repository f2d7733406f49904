"""Rewards that many runs want, as plain functions: ``path: concord.rewards.builtin:tag_format``."""

from concord.rewards.builtin.code import code_tests
from concord.rewards.builtin.json_text import json_valid
from concord.rewards.builtin.language import in_language
from concord.rewards.builtin.length import length_budget, length_range, length_target
from concord.rewards.builtin.match import exact_match
from concord.rewards.builtin.mathematics import math_answer
from concord.rewards.builtin.overlong import soft_overlong
from concord.rewards.builtin.repetition import repetition_penalty
from concord.rewards.builtin.tags import tag_format

__all__ = [
    "code_tests",
    "exact_match",
    "in_language",
    "json_valid",
    "length_budget",
    "length_range",
    "length_target",
    "math_answer",
    "repetition_penalty",
    "soft_overlong",
    "tag_format",
]
