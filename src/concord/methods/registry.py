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
    if isinstance(method, Method):
        if parameters:
            raise ConfigError(f"a method that is built takes no parameters: {', '.join(parameters)}; pass its name")
        built = method
    else:
        built = create(method, **parameters)
    if isinstance(rewards, Mapping):
        if names is not None:
            raise BatchError("names come with the mapping of rewards; pass names only beside a tensor or lists")
        names, rewards = tuple(rewards), _beside_each_other(rewards)
    elif names is None:
        names = [f"reward_{k}" for k in range(_width(rewards))]
    facts = dict(columns or {}) if lengths is None else {**(columns or {}), "lengths": lengths}
    return built.signal(Rollouts(rewards, groups, names, facts, noise_floor))


def _beside_each_other(rewards: Mapping[str, Any]) -> Any:
    sizes = {name: len(scores) for name, scores in rewards.items()}
    if len(set(sizes.values())) > 1:
        raise BatchError(f"rewards differ in length: {', '.join(f'{name} {size}' for name, size in sizes.items())}")
    rows = [list(row) for row in zip(*rewards.values(), strict=True)]
    return rows or torch.empty(0, len(sizes))


def _width(rewards: Any) -> int:
    """How many rewards there seem to be; what is no matrix of numbers the batch refuses in words."""
    shape = getattr(rewards, "shape", None)
    if shape is None and isinstance(rewards, Sequence) and rewards:
        return len(rewards[0]) if hasattr(rewards[0], "__len__") else 1
    return int(shape[-1]) if shape else 1
