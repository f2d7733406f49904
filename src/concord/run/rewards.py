"""The rewards of a run's configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from concord.core.errors import ConfigError, nearest
from concord.core.redaction import revealed
from concord.rewards import Gates, Limits, NamedReward, Source, find
from concord.rewards.schedule import always_zero, schedule
from concord.rewards.turn_scores import whole_rollouts_only
from concord.run.judges import JudgeConfig, weights
from concord.run.section import Duration, Section, Text, at_key

if TYPE_CHECKING:
    from datasets import Dataset

Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]


class RewardConfig(Section):
    """A reward: where its scores come from, and what they count for.

    Attributes:
        path: of a function, ``file.py:function`` or ``package.module:function``; or else
        url: of a server that scores, in OpenRLHF's protocol; or else
        model: of a sequence-classification checkpoint, a folder or an id on the Hugging Face hub; or else
        judge: a language model that is asked, see :class:`concord.run.judges.JudgeConfig`. Where it has criteria and
            there is no ``key``, the reward stands for one reward a criterion, see :func:`spread`.
        form, options, group_relative, timeout, batch_timeout, workers, concurrency, batch_size: as in
            :class:`concord.rewards.Source` and its limits. With ``url`` the options are those of
            :class:`concord.rewards.HttpReward`, with ``model`` of :class:`concord.rewards.RewardModel`.
        weight: a number or a schedule, see :func:`concord.rewards.schedule.schedule`.
        key, when, turns, scale, shift, clamp, on_error, max_failed, noise_floor: as in
            :class:`concord.rewards.NamedReward`.
    """

    path: Text | None = None
    url: Text | None = None
    model: Text | None = None
    judge: JudgeConfig | None = None
    form: Text | dict[str, Text] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    group_relative: bool = False
    timeout: Duration | None = None
    batch_timeout: Duration | None = None
    workers: Whole | None = None
    concurrency: Whole = 32
    batch_size: Whole | None = None
    weight: Any = 1.0
    key: Text | None = None
    when: Text | None = None
    turns: Text | None = None
    scale: Number = 1.0
    shift: Number = 0.0
    clamp: tuple[Number | None, Number | None] | None = None
    on_error: Text = "raise"
    max_failed: Number | None = None
    noise_floor: Number = 0.0

    @field_validator("weight")
    @classmethod
    def _a_schedule(cls, weight: Any) -> Any:
        schedule(weight)
        return weight

    @model_validator(mode="after")
    def _one_source(self) -> RewardConfig:
        given = [kind for kind in ("path", "url", "model", "judge") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of path, url, model and judge{f', not {len(given)}' if given else ''}")
        if self.judge is not None:
            self._check_judge(self.judge)
        if self.model is not None and self.limits != Limits():
            raise ValueError(
                "a model runs in the trainer's process: without time limits and workers; batch_size is an option"
            )
        return self

    def _check_judge(self, judge: JudgeConfig) -> None:
        if self.options:
            raise at_key("options", "what a judge takes stands under judge itself")
        if judge.url is None and self.limits != Limits(concurrency=self.concurrency):
            raise ValueError("a judge without url runs in the trainer's process: without time limits and workers")
        if self.workers is not None or self.batch_size is not None:
            raise ValueError("a judge is asked about one completion at a time; leave out workers and batch_size")
        if self.key is not None and self.key not in (judge.criteria or {}):
            known = list(judge.criteria or {})
            raise at_key("key", f"the judge has no criterion {self.key!r}" + nearest(self.key, known))

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The path and the weight, and what else is not as it is anyway."""
        fields = type(self).model_fields
        given: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in given.items()
            if name == "weight" or value != fields[name].get_default(call_default_factory=True)
        }

    @property
    def limits(self) -> Limits:
        """The limits of its source."""
        return Limits(self.timeout, self.batch_timeout, self.workers, self.concurrency, self.batch_size)

    def opened(self) -> RewardConfig:
        """Return the reward with its secrets, which the configuration has by name: ``env:NAME``.

        Raises:
            ConfigError: as :func:`concord.core.redaction.revealed`.
        """
        return self.model_copy(update=revealed({"url": self.url, "options": self.options}))

    def named(self, name: str, target: Any) -> NamedReward:
        """The reward, with what was found under ``path``, ``url``, ``model`` or ``judge``.

        Raises:
            ConfigError: as :class:`concord.rewards.NamedReward`.
        """
        options = self.options if self.path is not None else {}
        return NamedReward(
            name,
            Source(target, self.path, self.form, options, self.limits, self.group_relative),
            schedule(self.weight),
            key=self.key,
            when=self.when,
            turns=self.turns,
            scale=self.scale,
            shift=self.shift,
            clamp=self.clamp,
            on_error=self.on_error,
            max_failed=self.max_failed,
            noise_floor=self.noise_floor,
        )


def spread(rewards: Mapping[str, RewardConfig]) -> dict[str, RewardConfig]:
    """The rewards, with one in the place of each criterion of a judge: ``quality_polite`` for ``quality``'s ``polite``.

    All else that the reward says holds for each of them. With ``calls: each`` each has a judge of its own, which is
    asked about nothing else.

    Raises:
        PydanticCustomError: a weight that cannot be given to each; a name that is there already.
    """
    found: dict[str, RewardConfig] = {}
    for name, reward in rewards.items():
        criteria = None if reward.judge is None or reward.key is not None else reward.judge.criteria
        if reward.judge is None or criteria is None:
            parts = {name: reward}
        else:
            judges = {c: reward.judge if reward.judge.calls == "one" else reward.judge.only(c) for c in criteria}
            try:
                each = weights(reward.weight, criteria)
            except ConfigError as error:
                raise at_key(name, str(error)) from error
            parts = {
                f"{name}_{c}": reward.model_copy(update={"judge": judges[c], "key": c, "weight": each[c]})
                for c in criteria
            }
        if twice := sorted(parts.keys() & found.keys() | parts.keys() & rewards.keys() - {name}):
            raise at_key(name, f"its criterion would be the reward {twice[0]!r}, which is there already; rename one")
        found |= parts
    return found


def check_rewards(given: Mapping[str, RewardConfig]) -> dict[str, RewardConfig]:
    """Check what can be known before anything is imported: names, numbers, gates; for pydantic."""
    rewards, gates = spread(given), {}
    for name, reward in rewards.items():
        if not re.fullmatch(r"\w[\w-]*", name):  # a column of tables and a part of metric names
            raise at_key(name, "a reward's name is made of letters, digits, _ and -")
        try:
            whole_rollouts_only(name, reward.turns)
            gates[name] = reward.named(name, None).gate
        except ConfigError as error:
            raise at_key(name, str(error).removeprefix(f"reward {name!r}: ")) from error
    Gates(tuple(rewards), gates)
    return rewards


def check_weights(rewards: Mapping[str, RewardConfig], steps: int | None) -> None:
    """Refuse rewards whose every weight is 0 at each of so many optimisation steps, None = at all; for pydantic."""
    if all(always_zero(schedule(reward.weight), steps) for reward in rewards.values()):
        during = "" if steps is None else f" for all {steps} steps"
        raise at_key(
            "rewards",
            f"every weight is 0{during}, so nothing would be learnt; give one of {', '.join(rewards)} another weight "
            "(a weight of 0 only watches, beside rewards that count)",
        )


def build_rewards(rewards: Mapping[str, RewardConfig]) -> tuple[NamedReward, ...]:
    """Import functions and load models, each once.

    Raises:
        ConfigError: as :func:`concord.rewards.load`, a model or a server's options do not fit, or a secret named as
            ``env:NAME`` is not in the environment.
    """
    found: list[tuple[RewardConfig, Any]] = []
    built = []
    for name, given in rewards.items():
        try:
            reward = given.opened()
            same = next((target for other, target in found if _same_source(other, reward)), None)
            target = _target(name, reward) if same is None else same
        except ConfigError as error:
            raise ConfigError(f"reward {name!r}: {error}") from error
        found.append((reward, target))
        built.append(reward.named(name, target))
    return tuple(built)


def check_templates(rewards: Sequence[NamedReward], rows: Dataset) -> None:
    """Refuse a reward model that cannot read the prompts, before it is asked.

    Raises:
        ConfigError: the prompts are messages, and its tokenizer has no chat template.
    """
    from concord.rewards import RewardModel

    for reward in rewards:
        if len(rows) and isinstance(reward.source.target, RewardModel):
            try:
                reward.source.target.check_prompt(rows[0]["prompt"])
            except ConfigError as error:
                raise ConfigError(f"reward {reward.name!r}: {error}") from error


def _same_source(a: RewardConfig, b: RewardConfig) -> bool:
    return (a.path, a.url, a.model, a.judge, a.options) == (b.path, b.url, b.model, b.judge, b.options)


def _target(name: str, reward: RewardConfig) -> Any:
    if reward.path is not None:
        return find(reward.path)
    if reward.judge is not None:
        whole = name if reward.judge.calls == "each" else name.removesuffix(f"_{reward.key}")
        return reward.judge.build(whole, reward.concurrency)
    if reward.url is not None:
        from concord.rewards import HttpReward

        return _made(HttpReward, reward.url, reward.options)
    from concord.rewards import RewardModel

    return _made(RewardModel, reward.model, reward.options)


def _made(kind: Callable[..., Any], source: Any, options: Mapping[str, Any]) -> Any:
    known = list(inspect.signature(kind).parameters)[1:]
    for option in options:
        if option not in known:
            raise ConfigError(f"options: there is no {option!r}, only {', '.join(known)}" + nearest(option, known))
    return kind(source, **options)
