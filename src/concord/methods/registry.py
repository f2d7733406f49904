"""Methods by name, for configs and the command line. Code calls the functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch

from concord.core.catalogue import builder, info
from concord.core.errors import BatchError, ConfigError
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.methods.method import Method


def create(name: str, **parameters: Any) -> Method:
    """Build a method by name: ``create("gd2po", tau=0.8)`` is ``gd2po(tau=0.8)``.

    Raises:
        UnknownName: no such method; the message names the nearest.
        ConfigError: what has this name is no advantage and no policy loss, but a preference loss, say.
        TypeError: a parameter that the function does not have, as from the function itself.
    """
    kind = info(name).kind
    if kind not in ("advantage", "loss"):
        raise ConfigError(
            f"{name!r} is a {kind}, not an advantage or a policy loss; `concord show {name}` says how it is used"
        )
    made: Method = builder(name)(**parameters)
    return made


def advantages(
    rewards: Any,
    groups: Groups | Sequence[Hashable],
    method: str | Method = "gd2po",
    lengths: Any = None,
    names: Sequence[str] | None = None,
    *,
    columns: Mapping[str, Any] | None = None,
    noise_floor: Mapping[str, float] | None = None,
    **parameters: Any,
) -> Outcome:
    """Return the advantages of one step's rollouts: the mathematics alone, in one call.

    Args:
        rewards: ``[N, K]`` as a tensor, an array or lists of numbers; or a mapping from the reward's name to its N
            scores. NaN or None = not scored.
        groups: for each of the N rollouts the id of its prompt, or :class:`Groups`.
        method: a registered method's name, or a method.
        lengths: ``[N]``, the responses' tokens, by which some methods weigh; None counts every rollout alike, and a
            method that would weigh by tokens says so in a warning.
        names: the K rewards' names; reward_0, reward_1, ... by default.
        columns: further facts that the method needs, each ``[N, ...]``.
        noise_floor: by reward name, in its own units: what is nearer to the group's mean says nothing.
        parameters: of the method: ``tau=0.8``.

    The state of a method that remembers begins anew with every call; a loop that keeps it calls
    ``create(name).signal(Rollouts(...), state)``.

    Raises: BatchError, MissingColumn and UnknownName, which say what to pass.

    Example:
        >>> rewards = {"correct": [1, 0, 1, 0], "short": [0.2, 0.9, 0.9, 0.2]}
        >>> outcome = advantages(rewards, ["q1", "q1", "q1", "q1"], "gd2po", lengths=[12, 5, 7, 9])
        >>> outcome.keep.tolist()  # the first two rollouts are good on one reward and bad on the other
        [False, False, True, True]
    """
    if isinstance(rewards, Mapping):
        if names is not None:
            raise BatchError("names come with the mapping of rewards; pass names only beside a tensor or lists")
        names = tuple(rewards)
        rows = list(zip(*rewards.values(), strict=False))
        if len({len(scores) for scores in rewards.values()}) > 1:
            raise BatchError(f"rewards differ in length: { {name: len(s) for name, s in rewards.items()} }")
        rewards = [list(row) for row in rows]
        if not rewards:
            rewards = torch.empty(0, len(names))
    elif names is None:
        shape = getattr(rewards, "shape", None)
        width = shape[-1] if shape else len(rewards[0]) if len(rewards) and hasattr(rewards[0], "__len__") else 0
        names = [f"reward_{k}" for k in range(width)]
    facts = dict(columns or {}) if lengths is None else {**(columns or {}), "lengths": lengths}
    batch = Rollouts(rewards, groups, names, facts, noise_floor)
    built = method if isinstance(method, Method) else create(method, **parameters)
    return built.signal(batch)
