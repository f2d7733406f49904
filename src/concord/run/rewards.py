"""The rewards of a run's configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from concord.core.errors import ConfigError, nearest
from concord.rewards import Gates, Limits, NamedReward, Source, find
from concord.rewards.schedule import schedule
from concord.run.section import Section, Text, at_key

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(given: Any) -> Any:
    """A duration in seconds: ``5s``, ``500ms``, ``2m``, ``1h``, or a number of seconds.

    Raises:
        ConfigError: text that is none of these.

    Example:
        >>> seconds("500ms"), seconds("2m"), seconds(3)
        (0.5, 120.0, 3)
    """
    if not isinstance(given, str):
        return given
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(ms|s|m|h)", given.strip())
    if match is None:
        raise ConfigError(f"{given!r} is no duration; write 5s, 500ms, 2m or a number of seconds")
    return float(match[1]) * _UNITS[match[2]]


Duration = Annotated[float, BeforeValidator(seconds), Field(strict=True)]


class RewardConfig(Section):
    """A reward: where its scores come from, and what they count for.

    Attributes:
        path: of a function, ``file.py:function`` or ``package.module:function``; or else
        url: of a server that scores, in OpenRLHF's protocol; or else
        model: of a sequence-classification checkpoint, a folder or an id on the Hugging Face hub.
        form, options, group_relative, timeout, batch_timeout, workers, concurrency, batch_size: as in
            :class:`concord.rewards.Source` and its limits. With ``url`` the options are those of
            :class:`concord.rewards.HttpReward`, with ``model`` of :class:`concord.rewards.RewardModel`.
        weight: a number or a schedule, see :func:`concord.rewards.schedule.schedule`.
        key, when, scale, shift, clamp, on_error, max_failed: as in :class:`concord.rewards.NamedReward`.
    """

    path: Text | None = None
    url: Text | None = None
    model: Text | None = None
    form: Text | dict[str, Text] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    group_relative: bool = False
    timeout: Duration | None = None
    batch_timeout: Duration | None = None
    workers: int | None = None
    concurrency: int = 32
    batch_size: int | None = None
    weight: Any = 1.0
    key: Text | None = None
    when: Text | None = None
    scale: float = 1.0
    shift: float = 0.0
    clamp: tuple[float | None, float | None] | None = None
    on_error: Text = "raise"
    max_failed: float | None = None

    @field_validator("weight")
    @classmethod
    def _a_schedule(cls, weight: Any) -> Any:
        schedule(weight)
        return weight

    @model_validator(mode="after")
    def _one_source(self) -> RewardConfig:
        given = [kind for kind in ("path", "url", "model") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of path, url and model{f', not {len(given)}' if given else ''}")
        if self.model is not None and self.limits != Limits():
            raise ValueError(
                "a model runs in the trainer's process: without time limits and workers; batch_size is an option"
            )
        return self

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

    def named(self, name: str, target: Any) -> NamedReward:
        """The reward, with what was found under ``path``, ``url`` or ``model``.

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
            scale=self.scale,
            shift=self.shift,
            clamp=self.clamp,
            on_error=self.on_error,
            max_failed=self.max_failed,
        )


def check_rewards(rewards: Mapping[str, RewardConfig]) -> dict[str, RewardConfig]:
    """Check what can be known before anything is imported: names, numbers, gates; for pydantic."""
    gates = {}
    for name, reward in rewards.items():
        if not re.fullmatch(r"\w[\w-]*", name):  # a column of tables and a part of metric names
            raise at_key(name, "a reward's name is made of letters, digits, _ and -")
        try:
            gates[name] = reward.named(name, None).gate
        except ConfigError as error:
            raise at_key(name, str(error).removeprefix(f"reward {name!r}: ")) from error
    Gates(tuple(rewards), gates)
    return dict(rewards)


def build_rewards(rewards: Mapping[str, RewardConfig]) -> tuple[NamedReward, ...]:
    """Import functions and load models, each once.

    Raises:
        ConfigError: as :func:`concord.rewards.load`, or a model or a server's options do not fit.
    """
    found: list[tuple[RewardConfig, Any]] = []
    built = []
    for name, reward in rewards.items():
        same = next((target for other, target in found if _same_source(other, reward)), None)
        try:
            target = _target(reward) if same is None else same
        except ConfigError as error:
            raise ConfigError(f"reward {name!r}: {error}") from error
        found.append((reward, target))
        built.append(reward.named(name, target))
    return tuple(built)


def _same_source(a: RewardConfig, b: RewardConfig) -> bool:
    return (a.path, a.url, a.model, a.options) == (b.path, b.url, b.model, b.options)


def _target(reward: RewardConfig) -> Any:
    if reward.path is not None:
        return find(reward.path)
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
