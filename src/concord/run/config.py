"""A run's configuration: one YAML file, checked before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator

from concord.core import safe_yaml
from concord.core.errors import ConcordError, ConfigError, UnknownName
from concord.engines.defaults import GRPO, LORA
from concord.rewards import NamedReward, find
from concord.run import paths
from concord.run.rewards import RewardConfig, build_rewards, check_rewards, check_weights
from concord.run.section import Count, Section, Size, Text, WholeConfig, at_key, load, typed

HELD_OUT, OVERALL = "held_out", "overall"
"""The evaluation on ``data.eval``, and the rows of all sets of an evaluation."""

_OURS = {"output_dir": "out", "seed": "seed", "reward_weights": "rewards.<name>.weight"}
"""Options of TRL's that a key of ours sets."""


class MethodConfig(Section):
    """A method of the catalogue by name, and its parameters: ``gd2po``, or ``{name: gd2po, tau: 0.8}``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text

    @property
    def parameters(self) -> dict[str, Any]:
        """What goes to ``concord.create`` beside the name."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_created(self) -> MethodConfig:
        from concord.methods import builder, create

        if "weights" in self.parameters:
            raise at_key("weights", "weights stand with the rewards, as rewards.<name>.weight")
        try:
            build = builder(self.name)
        except UnknownName as error:
            raise at_key("name", str(error)) from error
        (self.model_extra or {}).update(typed(self.parameters, build))
        try:
            create(self.name, **self.parameters)
        except (ConcordError, TypeError, ValueError) as error:
            raise ValueError(f"{self.name}: {error}") from error
        return self


class RowsConfig(Section):
    """Which rows of which data, and which columns hold prompt and answer.

    Attributes:
        path: a .parquet, .json or .jsonl file; the id of a data set on the Hugging Face hub; or builtin:tool_task,
            builtin:arithmetic_task, which are made as asked for.
        name: of the data set's configuration on the hub, where it has several.
        split: train, test, ...; also a slice, train[:90%]. A file is one split, train.
        prompt: column of the prompts, messages or text; dots go into nested columns.
        answer: column of what the rewards compare with; None = there is none.
        size: rows to take, the first ones; None = all.
        max_prompt_tokens: prompts longer than this under the model's tokenizer are left out.
        reader: a function that makes rows of a file, ``path -> list of dicts``, where it is in no form above;
            ``file.py:function`` or ``package.module:function``.
    """

    path: Text
    name: Text | None = None
    split: Text = "train"
    prompt: Text = "prompt"
    answer: Text | None = "answer"
    size: Count | None = None
    max_prompt_tokens: Count | None = None
    reader: Text | None = None


class DataConfig(RowsConfig):
    """Training rows, and perhaps others to evaluate on; those take path, name, columns, limit and reader from here."""

    eval: RowsConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(value.get("eval"), Mapping):
            shared = ("path", "name", "prompt", "answer", "max_prompt_tokens", "reader")
            own = {key: value[key] for key in shared if key in value}
            return {**value, "eval": {**own, **value["eval"]}}
        return value

    @model_validator(mode="after")
    def _held_out(self) -> DataConfig:
        if self.eval and (self.eval.path, self.eval.name, self.eval.split) == (self.path, self.name, self.split):
            raise at_key("eval", "reads the rows that are trained on; name another split or another path")
        return self


class PublishedConfig(Section):
    """Figures that others have published, to be shown beside one's own.

    Attributes:
        source: where they stand, and for which model.
        figures: by method, reward and set, or "overall".
    """

    source: Text
    figures: dict[Text, dict[Text, dict[Text, float]]]


class EvaluationConfig(Section):
    """What a trained policy is evaluated on, greedy, after training.

    Attributes:
        sets: rows by name; what is said of all of them together stands under "overall".
        rewards: what scores the responses; None = the run's rewards.
        max_completion_length: where a response is cut; None = as in training, TRL's default included.
        published: others' figures, or None.
    """

    sets: Annotated[dict[Text, RowsConfig], Field(min_length=1)]
    rewards: Annotated[dict[str, RewardConfig], Field(min_length=1)] | None = None
    max_completion_length: Count | None = None
    published: PublishedConfig | None = None

    @field_validator("rewards")
    @classmethod
    def _that_fit(cls, rewards: dict[str, RewardConfig] | None) -> dict[str, RewardConfig] | None:
        return None if rewards is None else check_rewards(rewards)

    @field_validator("sets")
    @classmethod
    def _not_overall(cls, sets: dict[str, RowsConfig]) -> dict[str, RowsConfig]:
        if OVERALL in sets:
            raise at_key(OVERALL, "is what all sets together are called; take another name")
        return sets


class RunConfig(WholeConfig):
    """Everything that determines a run.

    Attributes:
        model: a folder, an id on the Hugging Face hub, or builtin:tool_task/seed0.
        method: of the catalogue, see :class:`MethodConfig`.
        data: see :class:`DataConfig`.
        rewards: by name, in the order in which they are shown.
        engine: options of ``trl.GRPOConfig`` under TRL's names, of the types that TRL states; what is left out is TRL's
            default, which everything beside training reads from TRL too (:mod:`concord.engines.defaults`).
        peft: options of ``peft.LoraConfig``; None = all weights are trained.
        columns: functions that compute what a method reads and no engine can know, by the column's name:
            ``{answers: my_run.py:final_answer}``; see :class:`concord.engines.trl.columns.Columns`. Those that the
            method does not read are not called.
        refill_rounds: how often groups without signal are sampled again (DAPO's dynamic sampling); 0 = never.
        evaluations: by name, for ``concord eval`` and ``concord compare``; see :class:`EvaluationConfig`.
        allow_missing_weights: train although the model's checkpoint lacks tensors, which are drawn at random.
        sizes: parameters of ``model``, and of rewards that are models by the reward's name, where they are not on
            disk to be counted; for the estimates of ``concord recipes``, and nothing else.
        out: the run folder.
        seed: of everything that is random.
    """

    model: Text
    method: MethodConfig
    data: DataConfig
    rewards: Annotated[dict[str, RewardConfig], Field(min_length=1)]
    engine: dict[str, Any] = Field(default_factory=dict)
    peft: dict[str, Any] | None = None
    columns: dict[Text, Text] = Field(default_factory=dict)
    refill_rounds: Annotated[int, Field(strict=True, ge=0)] = 0
    evaluations: dict[str, EvaluationConfig] = Field(default_factory=dict)
    allow_missing_weights: Annotated[bool, Field(strict=True)] = False
    sizes: dict[Text, Size] = Field(default_factory=dict)
    out: Path
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 0

    @field_validator("rewards")
    @classmethod
    def _that_fit(cls, rewards: dict[str, RewardConfig]) -> dict[str, RewardConfig]:
        return check_rewards(rewards)

    @field_validator("evaluations")
    @classmethod
    def _named(cls, evaluations: dict[str, EvaluationConfig]) -> dict[str, EvaluationConfig]:
        for name in evaluations:
            if not re.fullmatch(r"\w[\w-]*", name) or name == HELD_OUT:
                raise at_key(name, f"an evaluation's name is made of letters, digits, _ and -, and is not {HELD_OUT!r}")
        return evaluations

    @field_validator("engine")
    @classmethod
    def _known_to_trl(cls, engine: dict[str, Any]) -> dict[str, Any]:
        for key in engine:
            if key in _OURS:
                raise at_key(key, f"is set by {_OURS[key]}; leave it out here")
        if engine:
            return typed(engine, GRPO.owner())
        return engine

    @field_validator("peft")
    @classmethod
    def _known_to_peft(cls, options: dict[str, Any] | None) -> dict[str, Any] | None:
        if options:
            return typed(options, LORA.owner())
        return options

    @field_validator("out", mode="before")
    @classmethod
    def _not_empty(cls, out: Any) -> Any:
        if out == "":  # which Path would take for the working directory
            raise ValueError("name the run folder")
        return out

    @model_validator(mode="after")
    def _that_learns(self) -> RunConfig:
        limit = self.engine.get("max_steps")
        check_weights(self.rewards, limit if limit is not None and limit > 0 else None)
        return self

    @field_serializer("out")
    def _as_text(self, out: Path) -> str:
        return str(out)

    def named_rewards(self) -> tuple[NamedReward, ...]:
        """The rewards with their functions imported and their models loaded.

        Raises:
            ConfigError: as :func:`concord.rewards.load`.
        """
        return build_rewards(self.rewards)

    def column_functions(self) -> dict[str, Any]:
        """The functions of ``columns``, imported.

        Raises:
            ConfigError: as :func:`concord.rewards.find`.
        """
        found = {}
        for name, path in self.columns.items():
            try:
                found[name] = find(path)
            except ConfigError as error:
                raise ConfigError(f"column {name!r}: {error}") from error
        return found

    def all_evaluations(self) -> dict[str, EvaluationConfig]:
        """``data.eval`` as the evaluation "held_out", and ``evaluations``."""
        held_out = {HELD_OUT: EvaluationConfig(sets={HELD_OUT: self.data.eval})} if self.data.eval else {}
        return held_out | self.evaluations

    def to_yaml(self) -> str:
        """The resolved configuration; :func:`load_config` on it gives an equal one."""
        return safe_yaml.write(paths.unresolved(self.model_dump()))


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML file, or a recipe that ships by its name, and check all of it.

    Relative paths in the file start at the file's folder (of a shipped recipe: at the working directory), those in
    overrides at the working directory; the result holds absolute ones.

    Args:
        path: a file, or ``tool_calling`` or ``recipes/tool_calling.yaml`` for a recipe that ships.
        overrides: ``key.sub=value`` each, later ones win.

    Raises:
        ConfigError: no such file, not YAML, a key twice, an unknown key (the nearest is named), a wrong value.
        MissingExtra: options of TRL or PEFT are given and it is not installed.
    """
    file, folder = paths.find(path)
    return load(RunConfig, file, folder, overrides, paths.resolve)
