"""Forms that hand a function one reply with its row: AReaL's, rLLM's, NeMo-RL's functions, and names of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from concord.core.errors import ConfigError, nearest
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.completions import completion_text
from concord.rewards.forms.chat import completion_messages, prompt_messages, prompt_text
from concord.rewards.forms.options import with_options
from concord.rewards.forms.parameters import (
    as_function,
    by_keyword,
    by_position,
    check_known,
    no_column,
    required,
    returning,
    taken,
    title,
)
from concord.rewards.forms.recognise import found, names
from concord.rewards.forms.returned import MAIN, columns_of, entries, joined_by_name

ANSWERS = ("answer", "ground_truth", "solution", "label", "target")
"""Columns that hold what a reply should come to, in the order in which they are looked for."""


def answer_of(row: Mapping[str, Any], first: str = ANSWERS[0]) -> tuple[bool, Any]:
    """Whether a row of the data has an answer, and the answer; ``first`` names the column that goes before others."""
    for name in (first, *ANSWERS):
        if name in row:
            return True, row[name]
    model = row.get("reward_model")  # verl's column
    if isinstance(model, Mapping) and "ground_truth" in model:
        return True, model["ground_truth"]
    return False, None


def row_of(batch: RewardBatch, index: int) -> dict[str, Any]:
    """The data's columns for one completion."""
    return {name: column[index] for name, column in batch.columns.items()}


class AReaL:
    """``f(prompt, completions, prompt_ids, completion_ids, answer, **kwargs) -> float``: one call for each completion.

    Everything goes by keyword: ``prompt`` and ``completions`` are texts, of one completion in spite of the plural,
    ``completion_ids`` its tokens and ``prompt_ids`` None (both None where they are not known), and the data's columns.

    Source: ``RLVRWorkflow`` and the rewards of AReaL, 2026.
    """

    name: ClassVar[str] = "areal"
    framework: ClassVar[str] = "AReaL"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "f(prompt, completions, prompt_ids, completion_ids, answer, **kwargs)"
    passed: ClassVar[tuple[str, ...]] = ("prompt", "completions", "prompt_ids", "completion_ids")

    def fits(self, target: Any) -> str | None:
        """``prompt_ids``, or ``prompt`` in the singular, beside ``completions`` in the plural."""
        there = set(names(target))
        return found(target, *self.passed) if "completions" in there and there & {"prompt", "prompt_ids"} else None

    def of(self, target: Any) -> AReaL:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it does not take an option."""
        return with_options(as_function(target), options, self.passed, self.framework)

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn for a column that the function names and the data lack."""
        row = row_of(batch, 0)
        known = {
            **row,
            "prompt": prompt_text(batch.prompts[0]),
            "completions": completion_text(batch.completions[0]),
            "prompt_ids": None,
            "completion_ids": None if batch.completion_ids is None else list(batch.completion_ids[0]),
        }
        if "answer" not in known and (answer := answer_of(row))[0]:
            known["answer"] = answer[1]
        for name in required(function):
            if name not in known:
                raise no_column(f"{title(function)} reads {name!r}", [name], batch.columns)
        return Call(taken(function, known), 1)

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``, and those of a mapping's further names."""
        return joined_by_name([value])


class RLLM:
    """``f(task_info, action) -> RewardOutput | float``: one call for each completion, by position.

    ``task_info`` is the data's row with ``ground_truth``, ``question`` and ``problem`` filled in where it lacks them;
    ``action`` is the text of the completion.

    Returns a number, or an object with ``reward``; its ``is_correct`` is a column of that name, and so is each number
    in its ``metadata``.

    Source: ``RewardFunction`` and ``RewardOutput`` of rLLM, 2026.
    """

    name: ClassVar[str] = "rllm"
    framework: ClassVar[str] = "rLLM"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "f(task_info, action)"
    passed: ClassVar[tuple[str, ...]] = ("task_info", "action")

    def fits(self, target: Any) -> str | None:
        """Parameters ``task_info`` or ``task``, and ``action``."""
        there = set(names(target))
        return found(target, "task", *self.passed) if "action" in there and there & {"task_info", "task"} else None

    def of(self, target: Any) -> RLLM:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it does not take two by position, needs more, or does not take an option."""
        function = as_function(target)
        passed = by_position(function)[:2]
        if len(passed) < 2:
            raise ConfigError(f"{title(function)} does not take what rLLM passes by position: task_info, action")
        function = with_options(returning(function, _output), options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """The row and the text, under the names that the function has for them."""
        row = row_of(batch, 0)
        has, answer = answer_of(row, "ground_truth")
        prompt = prompt_text(batch.prompts[0])
        task = {"question": prompt, "problem": prompt, **({"ground_truth": answer} if has else {}), **row}
        first, second = by_position(function)[:2]
        return Call({first: task, second: completion_text(batch.completions[0])}, 1)

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``, and those of further names."""
        return joined_by_name([value])


def _output(value: Any) -> Any:
    """A RewardOutput of rLLM's as a mapping; what is none as it is."""
    if not hasattr(value, "reward"):
        return value
    metadata = getattr(value, "metadata", None)
    numbers = metadata if isinstance(metadata, Mapping) else {}
    kept = {str(name): number for name, number in numbers.items() if isinstance(number, int | float)}
    correct = getattr(value, "is_correct", None)
    return {**kept, **({} if correct is None else {"is_correct": correct}), MAIN: value.reward}


class Nemo:
    """``f(ground_truth, response, **options) -> float | (float, bool)``: NeMo-RL's functions, one call a completion.

    By keyword and only what the function takes: ``response`` (the text), ``ground_truth`` (that column, else ``answer``
    and its like), ``prompt`` (text), and the data's columns.

    Returns a number, or a number and whether the answer is correct, which is the column ``is_correct``.

    Source: ``rewards.py`` of NeMo-RL, 2026. Its environments are :mod:`concord.rewards.forms.environment`.
    """

    name: ClassVar[str] = "nemo"
    framework: ClassVar[str] = "NeMo-RL"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "f(ground_truth, response)"
    passed: ClassVar[tuple[str, ...]] = ("ground_truth", "response", "prompt")

    def fits(self, target: Any) -> str | None:
        """``response`` beside ``ground_truth``, ``answer`` or ``prompt``."""
        there = set(names(target))
        return found(target, *self.passed, "answer") if "response" in there and there & {*_BESIDE} else None

    def of(self, target: Any) -> Nemo:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it does not take an option."""
        return with_options(as_function(target), options, self.passed, self.framework)

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn for what the function names and the data lack."""
        row = row_of(batch, 0)
        known = {
            **row,
            "prompt": prompt_text(batch.prompts[0]),
            "response": completion_text(batch.completions[0]),
        }
        for name in ("ground_truth", "answer"):
            if name not in known and (answer := answer_of(row, name))[0]:
                known[name] = answer[1]
        for name in required(function):
            if name not in known:
                raise no_column(f"{title(function)} reads {name!r}", [name, *ANSWERS[:2]], batch.columns)
        return Call(taken(function, known), 1)

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``, and ``is_correct`` or those of a mapping's further names."""
        if isinstance(value, tuple) and len(value) == 2 and (value[1] is None or isinstance(value[1], bool)):
            value = {MAIN: value[0], "is_correct": value[1]}
        return joined_by_name([value])


_BESIDE = ("ground_truth", "answer", "prompt")

FACTS = ("prompt", "response", "answer", "messages", "tokens", "row")
"""What a mapping of names may hand on beside the data's columns; their plurals hand on all of a batch."""


class Mapped:
    """A function with parameters of any names: ``form: {prompt: question, response: action, answer: truth}``.

    Each key says what is handed on and its value the parameter that gets it:

    - ``prompt``, ``response``: texts; ``messages``: the conversation with the reply at its end;
    - ``answer``: the column of that name, else ``ground_truth``, ``solution``, ``label``, ``target``, else
      ``reward_model["ground_truth"]``;
    - ``tokens``: the reply's; ``row``: a mapping of the data's columns; any column under its own name.

    A key in the plural (``prompts``, ``responses``, ``conversations``, ``answers``, ``rows``) makes it one call for
    many completions, with lists; columns are lists then too. Parameters that nobody fills have their defaults, or their
    values under ``options``.

    Returns, for each completion, a number, None, or a mapping with ``score`` (else ``reward``, ``overall``, or the only
    name) and further names; for many a list of these, or a mapping of lists.

    Args:
        names: as given.

    Raises:
        ConfigError: a mapping that names no reply, or a parameter twice.
    """

    name: ClassVar[str] = "mapped"
    framework: ClassVar[str] = "form:"
    whole: ClassVar[bool] = False

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        singular = {_singular(key) for key in names}
        if not singular & {"response", "messages", "tokens"}:
            raise ConfigError(
                f"form: {dict(names)} hands on no reply; say which parameter gets it, as form: {{response: text}}"
            )
        values = list(self._names.values())
        twice = [value for value in values if not isinstance(value, str) or values.count(value) > 1]
        if twice:
            raise ConfigError(f"form: the parameter {twice[0]!r} is given twice, or is no name")

    @property
    def reason(self) -> str:
        """How it is called, for printing."""
        return f"as stated: {', '.join(f'{theirs} is the {ours}' for ours, theirs in self._names.items())}"

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if the function lacks a parameter, needs further ones, or takes no such option."""
        function = as_function(target)
        passed = list(self._names.values())
        by_name = by_keyword(function)
        unknown = [name for name in passed if name not in by_name]
        if unknown and not taken(function, {unknown[0]: None}):
            raise ConfigError(f"{title(function)} has no parameter {unknown[0]!r}{nearest(unknown[0], by_name)}")
        function = with_options(returning(function, _output), options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn for a column that is named and the data lack."""
        known: dict[str, Any] = {}
        for key, theirs in self._names.items():
            values = [_fact(batch, index, key, function) for index in range(len(batch))]
            known[theirs] = values if self.whole else values[0]
        return Call(known, len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The main column, and those of further names."""
        return joined_by_name([value])


class MappedBatched(Mapped):
    """The same where a key is in the plural: one call for many completions, with lists."""

    whole: ClassVar[bool] = True

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The main column, and those of further names; None where a completion has no such entry."""
        return columns_of(value, size) if isinstance(value, Mapping) else joined_by_name(entries(value, size))


def mapped(names: Mapping[str, str]) -> Mapped:
    """The form for names of one's own, of one completion or of many."""
    return (MappedBatched if any(_singular(key) != key for key in names) else Mapped)(names)


def _singular(key: str) -> str:
    if key == "conversations":
        return "messages"
    return key[:-1] if key.endswith("s") and key[:-1] in FACTS else key


def _fact(batch: RewardBatch, index: int, key: str, function: RewardFunction) -> Any:
    if key in batch.columns and key != "answer":
        return batch.columns[key][index]
    prompt, completion = batch.prompts[index], batch.completions[index]
    match _singular(key):
        case "prompt":
            return prompt_text(prompt)
        case "response":
            return completion_text(completion)
        case "messages":
            return [*prompt_messages(prompt), *completion_messages(completion)]
        case "tokens":
            return None if batch.completion_ids is None else list(batch.completion_ids[index])
        case "row":
            return row_of(batch, index)
        case "answer":
            has, answer = answer_of(row_of(batch, index))
            if has:
                return answer
    raise no_column(f"form: {title(function)} is to get {key!r}", [key], batch.columns)
