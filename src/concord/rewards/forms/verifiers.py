"""verifiers' form: functions that ask by name for what they read, alone or in a Rubric."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, ClassVar

from concord.core.errors import ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.forms.chat import completion_messages, prompt_messages
from concord.rewards.forms.groups import plain
from concord.rewards.forms.options import with_options
from concord.rewards.forms.parameters import as_function, no_column, title, unpacked
from concord.rewards.forms.parser import Parser
from concord.rewards.forms.recognise import found, names, takes_rest
from concord.rewards.forms.returned import MAIN, entries, joined
from concord.rewards.forms.rubric import PLURAL, Part, Rollout, is_rubric, parts_of, score
from concord.rewards.forms.verl import is_prime_code

_MANY = {*PLURAL.values()}
_NAMES = (*PLURAL, *PLURAL.values(), "parser")


class Verifiers:
    """``f(prompt, completion, answer, state, info, task, parser) -> float``, any of these; or a ``Rubric``.

    One call for each completion, plain or async, by keyword and only what a function asks for:

    - ``prompt`` and ``completion``: as messages, also where they are text.
    - ``answer``, ``info`` ({} without one; JSON is read) and ``task`` ("default" without one): the columns.
    - ``state``: a mapping with all of these, the data's columns, and ``input``, the columns alone.
    - the data's columns by name; a Rubric's ``class_objects``; ``parser``: the Rubric's, else one that takes the text.

    A Rubric gives the column ``score``, the weighted sum, and one for each function under its name.

    Source: ``Rubric`` of verifiers 0.1.5 (``reward_funcs``), 0.1.9 (``funcs``) and 0.3. There a function that raises
    scores 0; here it has failed, and all of the rollout's scores with it.
    """

    name: ClassVar[str] = "verifiers"
    framework: ClassVar[str] = "verifiers"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "f(completion, answer, state, ...) or a Rubric"

    def fits(self, target: Any) -> str | None:
        """A Rubric; or a parameter ``completion`` or ``state``; or plural names that TRL does not pass."""
        if is_rubric(target):
            return f"{type(target).__name__} of {', '.join(part.name for part in parts_of(target))}"
        there = set(names(target))
        if is_prime_code(target) or ("completions" in there and there & {"prompt", "prompt_ids"}):  # verl's, AReaL's
            return None
        many = there & (_MANY - {"prompts", "completions"}) or (there <= {*_MANY, "parser"} and not takes_rest(target))
        one = there & {"completion", "state"}
        return found(target, *_NAMES) if one or (many and there & {"completions", "states"}) else None

    def of(self, target: Any) -> Verifiers:
        """For a function with plural names, and a Rubric that has one, the form for groups."""
        parts = parts_of(target) if is_rubric(target) else []
        grouped = any(part.grouped for part in parts) or bool(_MANY & set(names(target)))
        return VerifiersGroup() if grouped else self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError for a Rubric that has options or no functions, and an option that is not taken."""
        if is_rubric(target):
            if options:
                raise ConfigError("a Rubric takes no options; set them where it is made")
            parts = parts_of(target)
        else:
            function = with_options(as_function(target), options, _NAMES, self.framework)
            parts = [Part(MAIN, function, 0.0, {"parser": Parser()})]  # the main column is what it returns, no sum
        return functools.partial(score if any(part.coroutine for part in parts) else plain(score), parts=parts)

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn for what a function asks for and neither the data nor its Rubric has."""
        assert isinstance(function, functools.partial)  # of bind
        rollouts = [_rollout(batch, index) for index in range(len(batch))]
        for part in function.keywords["parts"] if rollouts else ():
            for name in part.unknown(rollouts):
                raise no_column(f"{title(part.function)} asks for {name!r}", [name], batch.columns)
        return Call({"rollouts": rollouts}, len(rollouts))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``; of a Rubric also one for each function."""
        return joined(entries(value, size))


class VerifiersGroup(Verifiers):
    """``f(prompts, completions, answers, states, infos, tasks, parser) -> list[float]``, or a Rubric that has such.

    One call of ours for many completions, in which the function is called once for the rollouts of each prompt.
    """

    whole: ClassVar[bool] = True


def _rollout(batch: RewardBatch, index: int) -> Rollout:
    row = {name: column[index] for name, column in batch.columns.items()}
    facts = {
        **row,
        "prompt": prompt_messages(batch.prompts[index]),
        "completion": completion_messages(batch.completions[index]),
        "info": _info(row.get("info")),
        "task": row.get("task", "default"),
    }
    return {"facts": facts, "input": row}


def _info(entry: Any) -> Any:
    """A mapping of its own; text of another kind under that name stays."""
    known = unpacked(entry)
    return known if isinstance(known, str) else copy(known or {})
