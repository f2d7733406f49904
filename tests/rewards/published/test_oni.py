"""ONI: labels, their queue, and how they fade."""

from __future__ import annotations

import pytest

from concord.core.errors import ConfigError, RewardError
from concord.rewards.published import oni


@pytest.mark.parametrize(("times", "total"), [(1, 0.6), (2, 0.25), (3, 0.214815), (5, 0.2032)])
def test_the_mixed_reward_is_the_papers_formula(times: int, total: float) -> None:
    """With a_ext 0.1, r_ext 2, a_llm 0.4 and label 1: the reward at the N-th sight, by hand."""
    reward = oni(lambda messages: [1.0] * len(messages))
    reward.labels["door"] = 1.0
    last = reward.episode(["door"] * times) - reward.episode(["door"] * (times - 1))
    assert 0.1 * 2 + 0.4 * last == pytest.approx(total, abs=1e-6)


def test_counts_start_again_with_every_episode_and_messages_are_turns() -> None:
    reward = oni(lambda messages: [2.0] * len(messages), beta=1.0)
    turns = [{"role": role, "content": text} for role, text in [("assistant", "a"), ("tool", "b"), ("assistant", "a")]]
    assert reward([turns, "a", []]) == [0, 0, 0]
    assert reward([turns, "a", []]) == [2 + 2 + 1, 2, 0]


def test_a_label_counts_from_the_next_batch_on_and_the_newest_are_labelled_first() -> None:
    asked: list[list[str]] = []

    def label(messages: object) -> list[float]:
        asked.append(list(messages))  # type: ignore[call-overload]
        return [1.0] * len(asked[-1])

    reward = oni(label, batch=2)
    assert reward(["a", "b", "c"]) == [0, 0, 0]
    assert reward(["a", "b", "c"]) == [0, 1, 1]
    assert reward(["a", "b", "c"]) == [1, 1, 1]
    assert asked == [["c", "b"], ["a"]]


def test_what_a_labeller_returns_is_read_before_it_counts() -> None:
    for bad in ([], [1.0, 2.0], [float("nan")]):
        reward = oni(lambda messages, bad=bad: bad)  # type: ignore[misc]
        with pytest.raises(RewardError, match="1 messages"):
            reward(["a"])
        assert not reward.labels
        assert list(reward.waiting) == ["a"]


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"beta": float("nan")}, {"batch": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="beta"):
        oni(lambda messages: [], **wrong)  # type: ignore[arg-type]
