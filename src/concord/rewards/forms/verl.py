"""verl's form: ``compute_score``, for one completion or batched, and the four-tuples of rlla."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, ClassVar

from concord.core.errors import BatchError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.completions import completion_text
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.options import with_options
from concord.rewards.forms.parameters import as_function, check_known, no_column, required, taken, title, unpacked
from concord.rewards.forms.recognise import found
from concord.rewards.forms.returned import MAIN, entries, joined, shown

_ONE = ("data_source", "solution_str", "ground_truth", "extra_info")
_MANY = ("data_sources", "solution_strs", "ground_truths", "extra_infos")
_TRUTHS = ("ground_truth", "reward_model", "answer")
_RLLA = (MAIN, "format_score", "correctness_score", "length_score")
"""Order and names as ToolRL's and GD2PO's reward managers have them."""


class Verl:
    """``compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs) -> float | dict``.

    One call for each completion, plain or async, by keyword and only what the function takes:

    - ``solution_str``: the text of the completion.
    - ``ground_truth``: the column ``ground_truth``, else ``reward_model["ground_truth"]``, else ``answer``.
    - ``data_source``: the column, else "". ``extra_info``: a copy of the column's mapping, else {}.
      ``reward_model`` and ``extra_info`` may be JSON text.
    - ``step`` (ToolRL): the engine's ``trainer_state.global_step``; left out if there is none.

    Returns a number or None; or a mapping with ``score`` and further names; or rlla's four numbers, which become
    ``score``, ``format_score``, ``correctness_score`` and ``length_score``.

    Source: ``NaiveRewardManager`` of verl 0.9; ``rlla.compute_score`` and its callers in ToolRL (arXiv:2504.13958) and
    GD2PO (arXiv:2606.16771). verl itself always passes the first four.
    """

    name: ClassVar[str] = "verl"
    framework: ClassVar[str] = "verl"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "compute_score(data_source, solution_str, ground_truth, extra_info=None)"
    passed: ClassVar[tuple[str, ...]] = _ONE

    def fits(self, target: Any) -> str | None:
        """A parameter ``solution_str`` or ``solution_strs``."""
        return found(target, *_ONE, *_MANY) if found(target, "solution_str", "solution_strs") else None

    def of(self, target: Any) -> Verl:
        """For ``solution_strs`` the batched one."""
        return VerlBatched() if found(target, "solution_strs") else self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it needs what verl does not pass, or does not take an option."""
        passed = (*self.of(target).passed, "step")
        function = with_options(as_function(target), options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn if the function needs the ground truth and no column has it."""
        facts = _facts(batch, function, self.passed[2])
        known = {name: fact if self.whole else fact[0] for name, fact in zip(self.passed, facts, strict=True)}
        step = getattr(batch.context.get("trainer_state"), "global_step", None)
        return Call(taken(function, known if step is None else {**known, "step": step}), len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score`` and those of the further names."""
        return joined([_row(value)])


class VerlBatched(Verl):
    """``compute_score(data_sources, solution_strs, ground_truths, extra_infos) -> list``: one call for many.

    The lists hold, for each completion, what :class:`Verl` passes and returns (``BatchRewardManager`` of verl 0.9).
    """

    whole: ClassVar[bool] = True
    passed: ClassVar[tuple[str, ...]] = _MANY

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score`` and those of the further names; None where a completion has no such entry."""
        return joined([_row(entry) for entry in entries(value, size)])


def _facts(batch: RewardBatch, function: RewardFunction, truth: str) -> list[list[Any]]:
    columns = batch.columns
    name = next((name for name in _TRUTHS if name in columns), None)
    if name is None and truth in required(function):
        raise no_column(f"{title(function)} reads {truth!r}", _TRUTHS, columns)
    return [
        list(columns.get("data_source", [""] * len(batch))),
        [completion_text(completion) for completion in batch.completions],
        [None] * len(batch) if name is None else [_truth(name, entry) for entry in columns[name]],
        # A copy: some functions write into it.
        [copy(unpacked(info) or {}) for info in columns.get("extra_info", [{}] * len(batch))],
    ]


def _truth(column: str, entry: Any) -> Any:
    if column != "reward_model":
        return entry
    known = unpacked(entry)
    if not (isinstance(known, Mapping) and "ground_truth" in known):
        raise BatchError(f"an entry of the column 'reward_model' has no 'ground_truth': {shown(entry)}")
    return known["ground_truth"]


def _row(value: Any) -> Mapping[str, Any]:
    """What was returned for one completion, by name."""
    if isinstance(value, Mapping):
        if MAIN not in value:
            raise Unreadable(f"returned a mapping without 'score', which verl trains on: {shown(value)}")
        return value
    if isinstance(value, list | tuple):
        if len(value) == len(_RLLA):
            return dict(zip(_RLLA, value, strict=True))
        raise Unreadable(f"returned {shown(value)}; return a number, None, a mapping with 'score', or rlla's 4 numbers")
    return {MAIN: value}
