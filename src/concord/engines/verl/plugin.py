"""What verl imports: the entry point ``concord`` of the group ``verl.plugins``.

verl imports it in every process, the driver and the workers, as the last thing that ``import verl`` does. It says
nothing if that fails (its log has it at the level DEBUG), so what goes wrong here is logged as an error first.
"""

from __future__ import annotations

import importlib.util
import logging


def install() -> None:
    """Enter the trainers, the estimators and the policy loss into verl's registries; twice is once."""
    from verl.trainer.ppo import core_algos

    from concord.engines.verl.estimator import LEGACY, legacy, misplaced
    from concord.engines.verl.loss import MODE, policy_loss
    from concord.engines.verl.settings import ESTIMATOR

    if ESTIMATOR in core_algos.ADV_ESTIMATOR_REGISTRY:
        return
    core_algos.register_policy_loss(MODE)(policy_loss)
    core_algos.ADV_ESTIMATOR_REGISTRY[LEGACY] = legacy(core_algos.ADV_ESTIMATOR_REGISTRY[LEGACY])
    if importlib.util.find_spec("transfer_queue") is not None:  # without it verl has its legacy trainer only
        _register_trainers()
    core_algos.register_adv_est(ESTIMATOR)(misplaced)


def _register_trainers() -> None:
    from verl.trainer.ppo import v1

    from concord.engines.verl.settings import TRAINERS
    from concord.engines.verl.trainer import ConcordMixin

    for name, (native, base) in TRAINERS.items():
        made = type(f"Concord{base}", (ConcordMixin, getattr(v1, base)), {"native": native, "__module__": __name__})
        v1.register_trainer(name)(made)


if importlib.util.find_spec("verl") is not None:  # else the doctests import this
    try:
        install()
    except Exception as error:
        logging.getLogger(__name__).error(
            "Concord is not in this verl: %s: %s; `concord doctor` says what differs", type(error).__name__, error
        )
        raise
