"""A run's rewards as verl asks for them: one rollout at a time, a dict of named rewards."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from concord.rewards import RewardBatch
from concord.rewards.reward_set import RewardSet
from concord.run.launch.plan import read
from concord.run.rewards import RewardConfig, build_rewards


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, *, run: str
) -> dict[str, float]:
    """The named rewards of one rollout, and under "score" their weighted sum, which verl logs.

    A reward that did not score is NaN: verl averages the entries of held-out rollouts, and cannot average None.

    Args:
        data_source, solution_str, ground_truth, extra_info: as verl hands them over; in ``extra_info`` what
            :func:`concord.run.launch.rows.in_columns` put there.
        run: the launch folder's configuration.

    Raises:
        RewardError: a reward failed that may not; verl then leaves the prompt out.
    """
    rewards = _rewards(run)
    known = extra_info or {}
    prompt = known.get("prompt")
    completion: Any = solution_str if isinstance(prompt, str) else [{"role": "assistant", "content": solution_str}]
    columns = {name: [value] for name, value in {**(known.get("columns") or {}), "answer": ground_truth}.items()}
    counted = rewards.counted(RewardBatch([prompt], [completion], columns=columns))
    scores = {name: math.nan if column[0] is None else column[0] for name, column in counted.items()}
    weights = rewards.weights(0)
    total = sum(weights[name] * score for name, score in scores.items() if not math.isnan(score))
    return {"score": total, **scores}


@cache
def _rewards(run: str) -> RewardSet:
    """Once a process; failures are counted by the batch, and here a batch is one rollout."""
    given = read(Path(run).parent)["rewards"]
    configured = TypeAdapter(dict[str, RewardConfig]).validate_python(given)
    single = {name: reward.model_copy(update={"max_failed": None}) for name, reward in configured.items()}
    return RewardSet(build_rewards(single))
