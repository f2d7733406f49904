"""Rewards of a run's configuration that a language model judges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from concord.core.errors import ConfigError
from concord.rewards.judging.chat_server import ChatServer
from concord.rewards.judging.llm_judge import read_questions
from concord.run.section import Duration, Section, Text, at_key

if TYPE_CHECKING:
    from concord.rewards import LLMJudge


def _described(given: Any) -> Any:
    return {"describe": given} if isinstance(given, str) else given


class CriterionConfig(Section):
    """What a judge looks at.

    Attributes:
        describe: for the judge.
        weight: of its score, a number or a schedule.
    """

    describe: Text
    weight: Any = 1.0


class JudgeConfig(Section):
    """Whom to ask about completions, and how; see :class:`concord.rewards.LLMJudge`.

    Attributes:
        model, url, prompt, score, scale, system, parameters, api_key, cache, retries, timeout: its arguments.
        criteria: by name, a description or a :class:`CriterionConfig`; each is a reward of its own.
        calls: ``one`` question about all criteria, or ``each`` by itself.
    """

    model: Text
    url: Text | None = None
    prompt: Text | None = None
    score: Text | None = None
    scale: list[float] | dict[str, float] | None = None
    criteria: dict[str, Annotated[CriterionConfig, BeforeValidator(_described)]] | None = None
    calls: Literal["one", "each"] = "one"
    system: Text | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    api_key: Text | None = None
    cache: bool | Text = True
    retries: int = 3
    timeout: Duration = 60.0

    @model_validator(mode="after")
    def _that_fits(self) -> JudgeConfig:
        for name in self.criteria or {}:
            if not re.fullmatch(r"\w[\w-]*", name):
                raise at_key("criteria", f"a criterion's name is made of letters, digits, _ and -, not {name!r}")
        read_questions(self.prompt, self.score, self.scale, self._descriptions())
        if self.url is not None:
            ChatServer.check(self.url, self.parameters, self.api_key)
        elif self.api_key is not None:
            raise at_key("api_key", "is for a server; give its url too")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        given: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in given.items()
            if fields[name].is_required() or value != fields[name].get_default(call_default_factory=True)
        }

    def build(self, name: str, concurrency: int) -> LLMJudge:
        """The judge, under a name for its metrics.

        Raises:
            ConfigError, MissingExtra: as :class:`concord.rewards.LLMJudge`.
        """
        from concord.rewards import LLMJudge

        arguments = {field: getattr(self, field) for field in type(self).model_fields if field not in _ELSEWHERE}
        return LLMJudge(**arguments, criteria=self._descriptions(), concurrency=concurrency, name=name)

    def only(self, criterion: str) -> JudgeConfig:
        """The judge that is asked about one criterion."""
        assert self.criteria is not None
        return self.model_copy(update={"criteria": {criterion: self.criteria[criterion]}, "calls": "one"})

    def _descriptions(self) -> Mapping[str, str] | None:
        return None if self.criteria is None else {name: c.describe for name, c in self.criteria.items()}


_ELSEWHERE = ("criteria", "calls")
"""Fields that are not arguments of the judge as they are."""


def weights(given: Any, criteria: Mapping[str, CriterionConfig]) -> dict[str, Any]:
    """The weight of each criterion's reward: that of the whole times its own.

    Raises:
        ConfigError: a schedule and another weight: which step's weight would it be?
    """
    found = {}
    for name, criterion in criteria.items():
        if given == 1:
            found[name] = criterion.weight
        elif criterion.weight == 1:
            found[name] = given
        elif isinstance(given, int | float) and isinstance(criterion.weight, int | float):
            found[name] = given * criterion.weight
        else:
            raise ConfigError(
                f"weight: a schedule is not multiplied with another weight; say it at criterion {name!r} alone"
            )
    return found
