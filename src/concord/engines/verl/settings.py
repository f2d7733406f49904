"""``algorithm.concord`` in verl's configuration."""

from __future__ import annotations

from typing import Any

from concord.core.errors import ConfigError, nearest
from concord.engines import settings
from concord.engines.settings import Settings

ESTIMATOR = "concord"
"""``algorithm.adv_estimator`` under the V1 trainers."""

WHERE = "algorithm.concord"

TRAINERS = {
    "concord_sync": ("sync", "PPOTrainerSync"),
    "concord_colocate_async": ("colocate_async", "PPOTrainerColocateAsync"),
    "concord_separate_async": ("separate_async", "PPOTrainerSeparateAsync"),
}
"""``trainer.v1.trainer_mode``: verl's name, and verl's class, of the trainer that a name of ours extends."""


def read(algorithm: Any) -> Settings:
    """The settings in verl's ``algorithm`` section, a DictConfig or plain data.

    Raises:
        ConfigError: there are none, or as :func:`concord.engines.settings.read`.
    """
    given = plain(algorithm)
    if not given.get("concord"):
        misspelt = next((key for key in given if key != "concord" and nearest(str(key), ["concord"])), None)
        raise ConfigError(
            f"there is no {WHERE}; write +{WHERE}.method=gd2po and '+{WHERE}.rewards=[correctness,format]', the keys "
            "of compute_score's dict" + (f" (there is algorithm.{misspelt})" if misspelt else "")
        )
    return settings.read(given["concord"], WHERE)


def plain(section: Any) -> dict[str, Any]:
    """A section of verl's configuration as plain data."""
    if isinstance(section, dict):
        return section
    from omegaconf import OmegaConf

    content: dict[str, Any] = OmegaConf.to_container(section, resolve=True)
    return content
