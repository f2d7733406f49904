"""Whether what reward functions did stops the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from concord.core.errors import RewardError
from concord.core.status import FAULTS
from concord.rewards.named import NamedReward
from concord.rewards.scores import Scored


def judge(
    rewards: Sequence[NamedReward],
    counts: Mapping[str, Mapping[str, int]],
    scored: Scored,
) -> None:
    """Stop the run where a reward's faults are more than it allows.

    Args:
        rewards: those asked.
        counts: by reward, how many scores of the batch have each status; over all processes.
        scored: by this process, for the first errors.

    Raises:
        RewardError: for a reward with ``on_error: raise`` and a fault, or one whose share of faults has reached
            ``max_failed``; names the first error.
    """
    for reward in rewards:
        count = counts[reward.name]
        faults = {status: count[status] for status in FAULTS if count.get(status)}
        number, total = sum(faults.values()), sum(count.values())
        if not number:
            continue
        said = ", ".join(f"{n} of {total} scores {status}" for status, n in faults.items())
        place = scored.places.get(reward.name)
        first = f"the first: {scored.errors.get(reward.name, 'in another process')}" + (f" ({place})" if place else "")
        if reward.on_error == "raise":
            raise RewardError(
                f"reward {reward.name!r}: {said}; {first}. "
                "Mend the function, or say what such scores count for: on_error: abstain, zero or worst"
            ) from scored.causes.get(reward.name)
        # A quotient, not a product: 0.1 * 30 is above 3.
        if reward.max_failed is not None and number / total >= reward.max_failed:
            raise RewardError(
                f"reward {reward.name!r}: {said}, which is at least its max_failed of {reward.max_failed:g}; {first}"
            ) from scored.causes.get(reward.name)
