"""A reward that is slow, hangs and has no opinion at times, and what becomes of each score.

    python examples/slow_reward.py

The judge runs in processes of its own. A call that takes too long is ended by ending its process; the others go on.
"""

from __future__ import annotations

import time
from pathlib import Path

from concord.rewards import Limits, RewardBatch, RewardSet, load


def judge(completion: list[dict[str, str]], answer: str | None) -> float | None:
    """Verifiers' form: one completion at a time. Stands for a call of a service."""
    said = completion[-1]["content"]
    if answer is None:
        return None  # nothing to compare with: no opinion, which is not 0
    if "hang" in said:
        time.sleep(3600)
    if "crash" in said:
        raise ValueError(f"cannot read {said!r}")
    time.sleep(0.05)
    return float(answer in said)


def main() -> None:
    reward = load(
        "judge",
        f"{Path(__file__).resolve()}:judge",  # a worker loads the function by its path
        on_error="abstain",  # without it a fault stops the run
        max_failed=0.5,  # and even so, if half of a batch are faults
        limits=Limits(timeout=3.0, workers=2),
    )
    rewards = RewardSet([reward])
    print(f"read as {rewards.forms['judge']}")
    completions = ["it is 4", "it is 5", "hang", "crash", "no idea"]
    scored = rewards.score(
        RewardBatch(["2 + 2?"] * 5, completions, columns={"answer": ["4", "4", "4", "4", None]}),
    )
    rewards.close()
    for text, value, status in zip(completions, scored.values["judge"], scored.statuses["judge"], strict=True):
        print(f"{text:8} {status:10} {value}")
    print(f"the first fault: {scored.errors['judge']}")


if __name__ == "__main__":
    main()
