"""HeRL's loss in any method: its own on what the policy sampled itself, another on revisions."""

from __future__ import annotations

import dataclasses

from concord.core.chain import Chain
from concord.core.errors import ConfigError
from concord.methods.method import Method
from concord.objectives import MixedPolicy, PolicyObjective
from concord.stages import Carry

REVISED = "revised"


def with_revisions(method: Method, *, gamma: float = 1.0) -> Method:
    """A method that also learns from revisions, which the column ``revised`` marks.

        loss = -A * x / (x + gamma)      where revised is not 0, x = the method's ratio
        loss = the method's surrogate    elsewhere

    The chain says what a revision is worth as it does of any rollout, and hands the column on to the loss; denominators
    and penalties are the method's. With a column of zeros it is the method as it was, to the bit. A method with one
    ratio a response (GSPO) has one for a revision too.

    Args:
        method: any whose loss is a :class:`concord.objectives.PolicyObjective`.
        gamma: see :class:`concord.objectives.MixedPolicy`.

    Raises:
        ConfigError: the loss is of another kind, which has no place for a surrogate; or ``gamma`` is negative.

    Example:
        >>> from concord.methods import grpo
        >>> made = with_revisions(grpo(), gamma=0.1)
        >>> made.signal.names
        ('weigh', 'sum', 'group_normalize', 'carry')
        >>> made.objective.surrogate.gamma, made.objective.surrogate.own == grpo().objective.surrogate
        (0.1, True)
    """
    objective = method.objective
    if not isinstance(objective, PolicyObjective):
        raise ConfigError(
            f"revisions have a surrogate of their own, for which {type(objective).__name__} has no place; "
            "take a method whose loss is a PolicyObjective"
        )
    return dataclasses.replace(
        method,
        signal=_carrying(method.signal),
        objective=dataclasses.replace(objective, surrogate=MixedPolicy(gamma, objective.surrogate)),
    )


def _carrying(signal: Chain) -> Chain:
    """The chain, handing the column on with those that it hands on already."""
    carry = next((stage for stage in signal.stages if isinstance(stage, Carry)), None)
    if carry is not None:
        return signal.replace(carry.name, Carry((*carry.columns, REVISED)))
    return Chain((*signal.stages, Carry((REVISED,))))
