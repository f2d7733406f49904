"""miles' own conversion of samples to training data, with Concord's function in its hook.

miles is not on a package index: put its checkout on PYTHONPATH, else this is skipped.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.engines.slime import post_process_rewards
from tests.engines_verl.batches import REWARDS, rollouts

conversion = pytest.importorskip("miles.ray.rollout.train_data_conversion")


def test_miles_trains_on_the_cores_advantages() -> None:
    from miles.utils.types import Sample

    scores, uids, mask = rollouts()
    lengths = mask.sum(1)
    args = SimpleNamespace(
        advantage_estimator="grpo",
        use_dynamic_global_batch_size=False,
        normalize_advantages=False,
        reward_key=None,
        concord={"method": "gd2po", "args": {"tau": 0.5}, "rewards": list(REWARDS)},
    )
    samples = [
        Sample(
            group_index=int(uid.removeprefix("prompt")),
            index=row,
            tokens=[1] * int(length),
            response_length=int(length),
            reward=dict(zip(REWARDS, scores[row].tolist(), strict=True)),
            status=Sample.Status.COMPLETED,
        )
        for row, (uid, length) in enumerate(zip(uids, lengths, strict=True))
    ]
    data = conversion.convert_samples_to_train_data(
        args,
        samples,
        metadata={},
        custom_convert_samples_to_train_data_func=None,
        custom_reward_post_process_func=post_process_rewards,
    )
    batch = Rollouts(torch.tensor(scores), Groups.of(uids), REWARDS, {"lengths": lengths})
    expected = create("gd2po", tau=0.5).signal(batch).advantages
    assert data["rewards"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert data["raw_reward"] == pytest.approx(scores.sum(1).tolist(), abs=1e-5)
