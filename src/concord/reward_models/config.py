"""The configuration of reward models: one YAML file, checked before anything is loaded."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from concord.core import safe_yaml
from concord.core.errors import ConfigError, nearest
from concord.engines.defaults import LORA, REWARD_MODEL
from concord.reward_models.biases import Label, load_bias
from concord.reward_models.objective import CorrelationTerm, InformationTerm, Objective, Over, Term
from concord.run import paths
from concord.run.section import Count, Section, Size, Text, WholeConfig, at_key, load, typed

Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]

_OURS = {"output_dir": "out", "seed": "seed", "chat_template_path": "chat_template"}
"""Options of TRL's that a key of ours sets."""


class SourceConfig(Section):
    """Where pairs come from.

    Attributes:
        path: a .parquet, .json or .jsonl file, or the id of a data set on the Hugging Face hub.
        name: of the data set's configuration on the hub, where it has several.
        split: train, test, ...; also a slice, train[:90%]. A file is one split, train.
        form: preference, hh, pandalm, llmbar or rm_bench; None = by the columns.
        columns: names to read as others, ``{question: prompt}``.
        size: rows to take, the first ones; None = all.
    """

    path: Text
    name: Text | None = None
    split: Text = "train"
    form: Text | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    size: Count | None = None


class DataConfig(Section):
    """Pairs by name.

    Attributes:
        train: to train on.
        eval: to evaluate on.
        calibrate: to fit the slope of residualised scores on; which answer was chosen plays no part. None = the
            training pairs; but a model's margins on pairs that it has learnt by heart make the slope too steep.
    """

    train: Annotated[dict[Text, SourceConfig], Field(min_length=1)]
    eval: dict[Text, SourceConfig] = Field(default_factory=dict)
    calibrate: dict[Text, SourceConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _held_out(self) -> DataConfig:
        trained = {(source.path, source.name, source.split) for source in self.train.values()}
        for name, source in self.eval.items():
            if (source.path, source.name, source.split) in trained:
                raise at_key(f"eval.{name}", "reads rows that are trained on; name another split or another path")
        return self


class BiasConfig(Section):
    """DIR's term for one bias.

    Attributes:
        path: ``file.py:function`` of a function ``(prompt, chosen, rejected) -> int | None``; None = the built-in
            bias of the section's name.
        weight: lambda, the term's factor in the loss.
        classes: number of labels that the function gives.
        hidden, steps, learning_rate: of the probe.
    """

    path: Text | None = None
    weight: Weight = 1.0
    classes: Annotated[int, Field(strict=True, ge=2)] = 2
    hidden: Count = 1024
    steps: Count = 5
    learning_rate: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 1e-4


class ObjectiveConfig(Section):
    """What one model is trained to. Without any key: Bradley-Terry.

    Attributes:
        dir: biases to train against by name, with DIR's term each.
        correlation: factor of the squared correlation of reward and length; 0 = none.
        over: the pairs that these are computed over, see :class:`concord.reward_models.objective.Objective`.
        residual_of: the name of another objective, whose scores are taken with the line through reward and length
            subtracted; nothing is trained.
    """

    dir: dict[Text, BiasConfig] = Field(default_factory=dict)
    correlation: Weight = 0.0
    over: Over = "update"
    residual_of: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_nothing(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _of_one_kind(self) -> ObjectiveConfig:
        if self.residual_of is not None and (self.dir or self.correlation):
            raise at_key("residual_of", "nothing is trained here; leave out dir and correlation")
        return self

    def build(self) -> Objective:
        """The objective to train to."""
        terms: list[Term] = [
            InformationTerm(name, **bias.model_dump(exclude={"path"})) for name, bias in self.dir.items()
        ]
        if self.correlation:
            terms.append(CorrelationTerm(self.correlation))
        return Objective(tuple(terms), self.over)

    def biases(self) -> dict[str, Label]:
        """The functions that label the pairs; raises ConfigError as :func:`concord.reward_models.biases.load_bias`."""
        return {name: load_bias(name, bias.path) for name, bias in self.dir.items()}


class RewardModelConfig(WholeConfig):
    """Everything that determines reward models.

    Attributes:
        model: what each starts from: a folder or an id on the Hugging Face hub, with a classification head or without.
        data: see :class:`DataConfig`.
        objectives: by name, each trained from the same start, in this order.
        chat_template: text of a Jinja template or a path that ends in .jinja; None = the tokenizer's own.
        engine: options of ``trl.RewardConfig`` under TRL's names, of the types that TRL states.
        peft: options of ``peft.LoraConfig``; None = all weights are trained.
        allow_missing_weights: train although the model below the head lacks tensors, which are drawn at random.
        sizes: parameters of ``model``, where it is not on disk to be counted; for the estimates of ``concord recipes``.
        out: the run folder.
        seed: of everything that is random.
    """

    model: Text
    data: DataConfig
    objectives: Annotated[dict[str, ObjectiveConfig], Field(min_length=1)]
    chat_template: Text | None = None
    engine: dict[str, Any] = Field(default_factory=dict)
    peft: dict[str, Any] | None = None
    allow_missing_weights: Annotated[bool, Field(strict=True)] = False
    sizes: dict[Literal["model"], Size] = Field(default_factory=dict)
    out: Path
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 0

    @field_validator("objectives")
    @classmethod
    def _usable(cls, objectives: dict[str, ObjectiveConfig]) -> dict[str, ObjectiveConfig]:
        trained = [name for name, objective in objectives.items() if objective.residual_of is None]
        for name, objective in objectives.items():
            if not re.fullmatch(r"\w[\w-]*", name):
                raise at_key(name, "an objective's name is made of letters, digits, _ and -; it is a folder's too")
            if objective.residual_of is not None and objective.residual_of not in trained:
                hint = nearest(objective.residual_of, trained)
                raise at_key(f"{name}.residual_of", f"no objective {objective.residual_of!r} is trained here{hint}")
        return objectives

    @field_validator("engine")
    @classmethod
    def _known_to_trl(cls, engine: dict[str, Any]) -> dict[str, Any]:
        for key in engine:
            if key in _OURS:
                raise at_key(key, f"is set by {_OURS[key]}; leave it out here")
        if engine:
            return typed(engine, REWARD_MODEL.owner())
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

    @field_serializer("out")
    def _as_text(self, out: Path) -> str:
        return str(out)

    def to_yaml(self) -> str:
        """The resolved configuration; :func:`load_config` on it gives an equal one."""
        return safe_yaml.write(paths.unresolved(self.model_dump(), paths.REWARD_MODEL_PATHS))


def shipped_recipes() -> dict[str, Path]:
    """The recipes of reward models that come with the package: name and file.

    Example:
        >>> "length" in shipped_recipes()
        True
    """
    folder = Path(__file__).parents[1] / "recipes" / "reward_models"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RewardModelConfig:
    """Read a YAML file, or a recipe that ships by its name, and check all of it.

    Relative paths in the file start at the file's folder (of a shipped recipe: at the working directory), those in
    overrides at the working directory; the result holds absolute ones.

    Raises:
        ConfigError: no such file, not YAML, a key twice, an unknown key (the nearest is named), a wrong value.
        MissingExtra: options of TRL or PEFT are given and it is not installed.
    """
    file, folder = _find(path)
    resolve = functools.partial(paths.resolve, table=paths.REWARD_MODEL_PATHS)
    return load(RewardModelConfig, file, folder, overrides, resolve)


def _find(path: str | Path) -> tuple[Path, Path]:
    """The file meant, and the folder at which its relative paths start."""
    given, recipes = Path(os.path.expanduser(path)), shipped_recipes()
    if given.is_file():
        return given, given.absolute().parent
    if str(path) in recipes:
        return recipes[str(path)], Path.cwd()
    raise ConfigError(f"no file {given}{nearest(given.stem, recipes)}; recipes that ship: {', '.join(recipes)}")
