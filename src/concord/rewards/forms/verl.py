"""verl's form, ``compute_score`` for one completion or batched, with rlla's four-tuples; and EasyR1's."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, ClassVar

from concord.core.errors import BatchError, ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.completions import completion_text
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.options import with_options
from concord.rewards.forms.parameters import (
    as_function,
    by_keyword,
    by_position,
    check_known,
    no_column,
    required,
    taken,
    title,
    unpacked,
)
from concord.rewards.forms.recognise import found, names
from concord.rewards.forms.returned import MAIN, entries, joined, shown

_TEXT = ("solution_str", "predict_str", "model_output")
"""What verl's own scorers call the completion: most, geo3k, math_verify and prime_math."""

_PRIME_CODE = ("completion", "test_cases")
"""What prime_code calls completion and ground truth."""

_TRUTHS = ("ground_truth", "reward_model", "answer")
_RLLA = (MAIN, "format_score", "correctness_score", "length_score")
"""Order and names as ToolRL's and GD2PO's reward managers have them."""


class Verl:
    """``compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs) -> float | dict``.

    One call for each completion, plain or async, by keyword and only what the function takes:

    - ``solution_str``: the text of the completion; ``predict_str`` (geo3k), ``model_output`` (math_verify,
      prime_math) and ``completion`` (prime_code) are the same.
    - ``ground_truth``: the column ``ground_truth``, else ``reward_model["ground_truth"]``, else ``answer``;
      ``test_cases`` (prime_code) is the same.
    - ``data_source``: the column, else "". ``extra_info``: a copy of the column's mapping, else {}.
      ``reward_model`` and ``extra_info`` may be JSON text.
    - ``step`` (ToolRL): the engine's ``trainer_state.global_step``; left out if there is none.

    Returns a number or None; or a mapping with ``score`` and further names; or rlla's four numbers, which become
    ``score``, ``format_score``, ``correctness_score`` and ``length_score``. Of another tuple the first entry counts, as
    verl takes it of prime_math's and prime_code's.

    Source: ``NaiveRewardManager`` of verl 0.9; ``rlla.compute_score`` and its callers in ToolRL (arXiv:2504.13958) and
    GD2PO (arXiv:2606.16771). verl itself always passes the first four.
    """

    name: ClassVar[str] = "verl"
    framework: ClassVar[str] = "verl"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "compute_score(data_source, solution_str, ground_truth, extra_info=None)"
    ending: ClassVar[str] = ""

    def fits(self, target: Any) -> str | None:
        """A parameter ``solution_str``, ``predict_str`` or ``model_output``, one or many; or prime_code's two."""
        passed = [*self._passed(names(target)), *VerlBatched()._passed(names(target))]
        texts = [f"{name}{ending}" for name in _TEXT for ending in ("", "s")]
        scores = found(target, *texts) or is_prime_code(target)
        return found(target, *passed) if scores else None

    def of(self, target: Any) -> Verl:
        """For the plural of the completion's name the batched one."""
        return VerlBatched() if found(target, *(f"{name}s" for name in _TEXT)) else self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it needs what verl does not pass, or does not take an option."""
        passed = (*self.of(target)._passed(names(target)), "step")
        function = with_options(as_function(target), options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def _passed(self, there: Sequence[str]) -> tuple[str, ...]:
        """The names under which a function with these parameters gets source, text, ground truth and further facts."""

        texts = [f"{name}{self.ending}" for name in _TEXT]
        text, truth = next((name for name in texts if name in there), texts[0]), f"ground_truth{self.ending}"
        if not self.ending and set(_PRIME_CODE) <= set(there):
            text, truth = _PRIME_CODE
        return f"data_source{self.ending}", text, truth, f"extra_info{self.ending}"

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn if the function needs the ground truth and no column has it."""
        passed = self._passed(by_keyword(function))
        facts = _facts(batch, function, passed[2])
        known = {name: fact if self.whole else fact[0] for name, fact in zip(passed, facts, strict=True)}
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
    ending: ClassVar[str] = "s"

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score`` and those of the further names; None where a completion has no such entry."""
        return joined([_row(entry) for entry in entries(value, size)])


class EasyR1:
    """``compute_score(reward_input, **options) -> {"overall": ...}``: one call for each completion.

    The mapping that goes by position has ``response`` (the text), ``response_length`` (its tokens, None where they are
    not known), ``ground_truth`` (found as verl's), and the data's further columns.

    Returns a mapping with ``overall``, which is the main column, and further names; or a number, or None.

    Source: ``SequentialFunctionRewardManager`` and ``BatchFunctionRewardManager`` of EasyR1, 2026.
    """

    name: ClassVar[str] = "easyr1"
    framework: ClassVar[str] = "EasyR1"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "compute_score(reward_inputs) or compute_score(reward_input)"

    def fits(self, target: Any) -> str | None:
        """A parameter ``reward_inputs`` or ``reward_input``."""
        return found(target, "reward_inputs", "reward_input")

    def of(self, target: Any) -> EasyR1:
        """For ``reward_inputs``, or another plural in the first place, the batched one."""
        return EasyR1Batched() if names(target)[:1] and names(target)[0].endswith("s") else self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it takes nothing by position, needs more than one, or does not take an option."""
        function = as_function(target)
        passed = by_position(function)[:1]
        if not passed:
            raise ConfigError(f"{title(function)} takes nothing by position, where EasyR1 passes its reward inputs")
        function = with_options(function, options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """The mapping, or the list of mappings, under the name that the function has for it."""
        truths = _truths(batch)
        rows = [
            {
                **{name: column[index] for name, column in batch.columns.items()},
                "response": completion_text(completion),
                "response_length": None if batch.completion_ids is None else len(batch.completion_ids[index]),
                **({} if truths is None else {"ground_truth": truths[index]}),
            }
            for index, completion in enumerate(batch.completions)
        ]
        return Call({by_position(function)[0]: rows if self.whole else rows[0]}, len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``overall`` and those of the further names."""
        return joined([_overall(value)], "overall")


class EasyR1Batched(EasyR1):
    """``compute_score(reward_inputs, **options) -> list``: one call for many, with a list of these mappings."""

    whole: ClassVar[bool] = True

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``overall`` and those of the further names; None where a completion has no such entry."""
        return joined([_overall(entry) for entry in entries(value, size)], "overall")


def is_prime_code(target: Any) -> bool:
    """Whether a function has the names of verl's prime_code, one of which is also verifiers'."""
    return set(_PRIME_CODE) <= set(names(target))


def _facts(batch: RewardBatch, function: RewardFunction, truth: str) -> list[list[Any]]:
    columns = batch.columns
    truths = _truths(batch)
    if truths is None and truth in required(function):
        raise no_column(f"{title(function)} reads {truth!r}", _TRUTHS, columns)
    return [
        list(columns.get("data_source", [""] * len(batch))),
        [completion_text(completion) for completion in batch.completions],
        [None] * len(batch) if truths is None else truths,
        # A copy: some functions write into it.
        [copy(unpacked(info) or {}) for info in columns.get("extra_info", [{}] * len(batch))],
    ]


def _truths(batch: RewardBatch) -> list[Any] | None:
    name = next((name for name in _TRUTHS if name in batch.columns), None)
    return None if name is None else [_truth(name, entry) for entry in batch.columns[name]]


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
        if isinstance(value, tuple) and value and _first_counts(value):
            return {MAIN: value[0]}
        if len(value) != 1:
            raise Unreadable(
                f"returned {shown(value)}; return a number, None, a mapping with 'score', or rlla's 4 numbers"
            )
    return {MAIN: value}


def _first_counts(value: tuple[Any, ...]) -> bool:
    """Whether only the first entry is a score: the others are no numbers, but reasons, answers, flags."""
    first, *rest = value
    return isinstance(first, numbers.Real) and not any(
        isinstance(entry, numbers.Real) and not isinstance(entry, bool) for entry in rest
    )


def _overall(value: Any) -> Mapping[str, Any]:
    """What was returned for one completion, by name."""
    if not isinstance(value, Mapping):
        return {"overall": value}
    if "overall" not in value:
        raise Unreadable(f"returned a mapping without 'overall', which EasyR1 trains on: {shown(value)}")
    return value
