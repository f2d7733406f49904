"""What an option of another library is where a run does not set it: read from the installed library, never copied.

A default that is copied is right until the library changes it, or until somebody copies it wrongly; then training and
what stands beside it (evaluations, estimates, another engine) go different ways without a word.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from concord.core import safe_yaml
from concord.core.errors import ConfigError, MissingExtra


@dataclass(frozen=True)
class Options:
    """The options that a dataclass of another library takes.

    Attributes:
        package: the library, by the name that it is imported under.
        name: of the dataclass.
        extra: of ours, with which the library is installed.
    """

    package: str
    name: str
    extra: str

    def owner(self) -> type[Any]:
        """Import the dataclass.

        Raises:
            MissingExtra: the library is not installed.
        """
        try:
            owner: type[Any] = getattr(importlib.import_module(self.package), self.name)
        except ImportError as error:
            raise MissingExtra.of(self.extra, self.package) from error
        return owner

    def default(self, option: str) -> Any:
        """Return what the option is where nobody sets it.

        Raises:
            ConfigError: the installed dataclass has no such option, or the option has no default.
            MissingExtra: the library is not installed.
        """
        field = {f.name: f for f in dataclasses.fields(self.owner()) if f.init}.get(option)
        if field is None:
            raise ConfigError(
                f"{self.package}.{self.name} has no option {option!r}, which Concord reads; `concord doctor` says "
                f"whether the installed {self.package} was tested"
            )
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        if field.default is dataclasses.MISSING:
            raise ConfigError(f"{self.package}.{self.name} has no default for {option!r}; set it")
        return field.default

    def read(self, given: Mapping[str, Any], option: str) -> Any:
        """Return what the option is in a run that sets ``given``; the library is asked only where the run is silent.

        Raises:
            ConfigError, MissingExtra: as :meth:`default`.

        Example:
            >>> GRPO.read({"temperature": 0.7}, "temperature")
            0.7
        """
        return given[option] if option in given else self.default(option)

    def read_all(self, given: Mapping[str, Any], options: Iterable[str]) -> dict[str, Any]:
        """Return several options by name, each as :meth:`read` returns it."""
        return {option: self.read(given, option) for option in options}


GRPO = Options("trl", "GRPOConfig", "train")
"""``engine`` of a run."""

REWARD_MODEL = Options("trl", "RewardConfig", "train")
"""``engine`` of reward models."""

LORA = Options("peft", "LoraConfig", "train")
"""``peft`` of both."""

_VERL_COMPOSED = Path("trainer", "config", "_generated_ppo_trainer.yaml")
"""What verl composes of its own files where nothing is overridden; verl ships it for reading."""


def verl_default(key: str) -> Any:
    """Return what an option of verl is where nobody sets it, from the configuration that the installed verl ships.

    Args:
        key: as on verl's command line, ``actor_rollout_ref.actor.clip_ratio``.

    Raises:
        ConfigError: the installed verl has no such option.
        MissingExtra: verl is not installed.
    """
    section: Any = _verl_composed(_verl_folder())
    for part in key.split("."):
        if not isinstance(section, Mapping) or part not in section:
            raise ConfigError(f"verl has no option {key!r}, which Concord reads; `concord doctor` says what differs")
        section = section[part]
    return section


def _verl_folder() -> Path:
    found = find_spec("verl")  # which does not import it
    if found is None or not found.submodule_search_locations:
        raise MissingExtra.of("verl", "verl")
    return Path(found.submodule_search_locations[0])


@cache
def _verl_composed(folder: Path) -> Any:
    file = folder / _VERL_COMPOSED
    if not file.is_file():
        raise ConfigError(f"{file} is not there, which holds verl's defaults; `concord doctor` says what differs")
    return safe_yaml.read(file.read_text(encoding="utf-8"), str(file))
