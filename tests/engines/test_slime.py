"""slime's and miles' hook, on samples with the attributes that both have."""

from __future__ import annotations

import enum
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError, RewardError
from concord.engines.slime import post_process_rewards

NAMES = ("correctness", "format", "length")


class Status(enum.Enum):
    COMPLETED = "completed"
    TRUNCATED = "truncated"


def arguments(method: str = "gd2po", **changes):
    concord = {"method": method, "args": changes.pop("args", {}), "rewards": list(NAMES)}
    given = {"advantage_estimator": "grpo", "normalize_advantages": False, "reward_key": None, "concord": concord}
    return SimpleNamespace(**given | changes)


def samples(prompts: int = 5, size: int = 4, seed: int = 0):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(prompts * size, 3)).astype(np.float32)
    made = [
        SimpleNamespace(
            group_index=index // size,
            index=index,
            rollout_id=None,
            reward=dict(zip(NAMES, scores[index].tolist(), strict=True)),
            response_length=int(random.integers(1, 9)),
            loss_mask=None,
            remove_sample=False,
            status=Status.COMPLETED,
        )
        for index in range(prompts * size)
    ]
    return made, scores


def core(made, scores, method="gd2po", **args):
    lengths = torch.tensor([sample.response_length for sample in made])
    columns = {"lengths": lengths, "truncated": torch.zeros(len(made), dtype=torch.bool)}
    groups = Groups.of([sample.group_index for sample in made])
    return create(method, **args).signal(Rollouts(torch.tensor(scores), groups, NAMES, columns))


@pytest.mark.parametrize(("method", "args"), [("gd2po", {"tau": 0.5}), ("gdpo", {}), ("rloo", {})])
def test_what_is_trained_on_are_the_cores_advantages(method: str, args: dict) -> None:
    made, scores = samples()
    _, trained = post_process_rewards(arguments(method, args=args), made)
    assert trained == pytest.approx(core(made, scores, method, **args).advantages.tolist(), abs=1e-6)


def test_what_is_logged_is_the_weighted_sum_or_the_engines_own_key() -> None:
    made, scores = samples()
    raw, _ = post_process_rewards(arguments(args={"weights": {"length": 0.5}}), made)
    assert raw == pytest.approx((scores * [1, 1, 0.5]).sum(1).tolist(), abs=1e-6)
    raw, _ = post_process_rewards(arguments(reward_key="format"), made)
    assert raw == pytest.approx(scores[:, 1].tolist())


def test_the_parts_of_one_rollout_share_its_advantage_and_their_lengths_add_up() -> None:
    made, scores = samples()
    split = [SimpleNamespace(**vars(sample) | {"rollout_id": sample.index, "index": 2 * sample.index + part})
             for sample in made for part in range(2)]  # fmt: skip
    whole = [SimpleNamespace(**vars(sample) | {"response_length": 2 * sample.response_length}) for sample in made]
    _, trained = post_process_rewards(arguments(), split)
    assert trained == pytest.approx(core(whole, scores).advantages.repeat_interleave(2).tolist(), abs=1e-6)


def test_a_missing_reward_spreads_nowhere() -> None:
    made, scores = samples()
    del made[3].reward["format"]
    scores[3, 1] = np.nan
    _, trained = post_process_rewards(arguments(), made)
    assert trained == pytest.approx(core(made, scores).advantages.tolist(), abs=1e-6)


def test_dapos_dropped_groups_leave_the_loss_and_gd2pos_stay() -> None:
    made, _ = samples()
    for sample in made[:4]:
        sample.reward = dict.fromkeys(NAMES, 1.0)
    post_process_rewards(arguments("gd2po"), made)
    assert not any(sample.remove_sample for sample in made)
    post_process_rewards(arguments("dapo"), made)
    assert [sample.remove_sample for sample in made] == [True] * 4 + [False] * 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concord": None}, "--custom-config-path"),
        ({"concord": {"method": "gd2po", "reward": ["a"]}}, "did you mean 'rewards'"),
        ({"concord": {"method": "gd2op", "rewards": ["a"]}}, "did you mean 'gd2po'"),
        ({"args": {"tua": 1}}, "did you mean 'tau'"),
        ({"advantage_estimator": "ppo"}, "--advantage-estimator grpo"),
        ({"normalize_advantages": True}, "a second time"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        post_process_rewards(arguments(**changes), samples()[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reward": 1.0}, BatchError, "a dict of named rewards"),
        ({"group_index": None}, BatchError, "which prompt"),
        ({"rollout_id": 1, "index": 99}, BatchError, "different rewards"),
    ],
)
def test_samples_that_say_too_little_are_named(change: dict, error: type, message: str) -> None:
    made, _ = samples()
    made[1].rollout_id = 1
    vars(made[2]).update(change)
    with pytest.raises(error, match=message):
        post_process_rewards(arguments(), made)


def test_a_reward_that_no_sample_has_is_named_with_the_nearest() -> None:
    made, _ = samples()
    for sample in made:
        sample.reward["corectness"] = sample.reward.pop("correctness")
    with pytest.raises(RewardError, match="did you mean 'corectness'"):
        post_process_rewards(arguments(), made)


def test_no_samples_are_no_advantages() -> None:
    assert post_process_rewards(arguments(), []) == ([], [])
