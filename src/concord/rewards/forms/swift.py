"""ms-swift's form: ORM and AsyncORM, classes or instances, called with completions and columns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from concord.core.errors import BatchError, ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.completions import completion_text
from concord.rewards.forms.chat import prompt_messages
from concord.rewards.forms.options import instance, with_options
from concord.rewards.forms.parameters import as_function, by_position, check_columns, check_takes, taken, title
from concord.rewards.forms.recognise import orm_base
from concord.rewards.forms.returned import MAIN, entries

_PASSED = ("messages", "response_token_ids", "trainer_state")


class Swift:
    """``class R(ORM): def __call__(self, completions, **columns) -> list[float | None]``; ``AsyncORM`` is async.

    One call for many completions:

    - ``completions``: their text, in the first parameter whatever its name. The rest goes by keyword:
    - the data's columns, ``solution`` among them if the data have it;
    - ``messages``: the conversation with the completion as its last message;
    - ``response_token_ids``: if the tokens are known; ``trainer_state``: if the engine has one.

    A class is instantiated: options that ``__init__`` names go there, the others become attributes of its ``args``, as
    ``args.repetition_n_grams``. Of an instance or function they become keyword arguments. Its ``request_id``,
    ``finish_reason`` and ``rollout_infos`` are not known here.

    Source: ``compute_rewards_per_func`` and ``ORM`` of ms-swift 4.6.
    """

    name: ClassVar[str] = "swift"
    framework: ClassVar[str] = "ms-swift"
    whole: ClassVar[bool] = True
    signature: ClassVar[str] = "class R(ORM): def __call__(self, completions, **kwargs)"

    def fits(self, target: Any) -> str | None:
        """A class or instance derived from ORM or AsyncORM; or a class whose calls take ``completions`` first."""
        if base := orm_base(target):
            return f"{(target if inspect.isclass(target) else type(target)).__name__} is an {base}"
        if inspect.isclass(target) and "__call__" in vars(target):
            first = list(inspect.signature(target.__call__).parameters)[1:2]  # after self
            return "a class called with completions" if first == ["completions"] else None
        return None

    def of(self, target: Any) -> Swift:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if the class cannot be instantiated, or its calls do not take what ms-swift passes."""
        made = inspect.isclass(target)
        function = as_function(instance(target, options) if made else target)
        first = by_position(function)[:1]
        if not first:
            raise ConfigError(f"{title(function)} has no first parameter for the completions")
        check_takes(function, _PASSED, self.framework)
        return function if made else with_options(function, options, (*first, *_PASSED), self.framework)

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn for a column that the function names and the data lack."""
        first = by_position(function)[0]
        if first in batch.columns:
            raise BatchError(f"the data have a column {first!r}, which is what ms-swift passes; rename the column")
        texts = [completion_text(completion) for completion in batch.completions]
        chats = [
            [*prompt_messages(prompt), {"role": "assistant", "content": text}]
            for prompt, text in zip(batch.prompts, texts, strict=True)
        ]
        known = {**batch.columns, "messages": chats, first: texts}
        if batch.completion_ids is not None:
            known["response_token_ids"] = batch.completion_ids
        if "trainer_state" in batch.context:
            known["trainer_state"] = batch.context["trainer_state"]
        check_columns(function, known, batch.columns, _PASSED)
        return Call(taken(function, known), len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """A list, array or tensor of ``size`` entries, as the column ``score``."""
        return {MAIN: entries(value, size)}
