"""OpenRLHF's form: queries, prompts and labels; a mapping with rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from concord.core.errors import ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.completions import completion_text
from concord.rewards.forms.chat import prompt_text
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.options import with_options
from concord.rewards.forms.parameters import as_function, by_position, check_known, no_column, required, title
from concord.rewards.forms.recognise import found
from concord.rewards.forms.returned import entries, shown

_PASSED = ("queries", "prompts", "labels")
_LABELS = ("label", "labels", "answer")


class OpenRLHF:
    """``reward_func(queries, prompts, labels, **kwargs) -> {"rewards": ..., "scores": ..., "extra_logs": {...}}``.

    One call for many completions, plain or async. As in OpenRLHF the three go by position, whatever their names:

    - ``prompts``: the text of the prompts; of messages, all of it, since no chat template is applied.
    - ``queries``: the text of prompt and completion; each begins with its prompt.
    - ``labels``: the column ``label``, else ``labels``, else ``answer``. Without one a function whose third parameter
      has a default goes without labels; OpenRLHF would pass "", which scores every answer as wrong.

    Returns the mapping, or a bare list or tensor of rewards. The columns are ``rewards``, ``scores`` if there are any,
    and those of ``extra_logs`` that have one entry for each completion; what is one number for the batch is no score.
    The HTTP form has the same arguments and the same mapping as JSON.

    Source: ``SingleTurnAgentExecutor`` of OpenRLHF 0.11, which calls with lists of one.
    """

    name: ClassVar[str] = "openrlhf"
    framework: ClassVar[str] = "OpenRLHF"
    whole: ClassVar[bool] = True
    signature: ClassVar[str] = "reward_func(queries, prompts, labels, **kwargs)"

    def fits(self, target: Any) -> str | None:
        """A parameter ``queries``."""
        return found(target, *_PASSED) if found(target, "queries") else None

    def of(self, target: Any) -> OpenRLHF:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it takes fewer than three by position, needs more, or does not take an option."""
        function = as_function(target)
        passed = by_position(function)[: len(_PASSED)]
        if len(passed) < len(_PASSED):
            raise ConfigError(f"{title(function)} takes {len(passed)} of what OpenRLHF passes: {', '.join(_PASSED)}")
        function = with_options(function, options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn if the function needs labels and no column has them."""
        queries, prompts, labels = by_position(function)[: len(_PASSED)]
        texts = [prompt_text(prompt) for prompt in batch.prompts]
        answers = [completion_text(completion) for completion in batch.completions]
        arguments: dict[str, Any] = {queries: [p + c for p, c in zip(texts, answers, strict=True)], prompts: texts}
        column = next((name for name in _LABELS if name in batch.columns), None)
        if column is not None:
            arguments[labels] = list(batch.columns[column])
        elif labels in required(function):
            raise no_column(f"{title(function)} reads {labels!r}", _LABELS, batch.columns)
        return Call(arguments, len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The columns ``rewards``, ``scores`` and of ``extra_logs``, under OpenRLHF's names."""
        if not isinstance(value, Mapping):
            return {"rewards": entries(value, size)}
        if "rewards" not in value:
            raise Unreadable(f"returned a mapping without 'rewards': {shown(value)}")
        columns = {name: value[name] for name in ("rewards", "scores") if value.get(name) is not None}
        logs = value.get("extra_logs") or {}
        if not isinstance(logs, Mapping):
            raise Unreadable(f"returned extra_logs that are no mapping: {shown(logs)}")
        columns |= {name: log for name, log in logs.items() if name not in columns and _is_long(log)}
        return {name: entries(column, size) for name, column in columns.items()}


def _is_long(log: Any) -> bool:
    return isinstance(log, list | tuple) or bool(getattr(log, "shape", ()))
