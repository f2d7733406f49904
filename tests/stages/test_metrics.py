"""What stages log, worked out by hand on a few rollouts, and the bars at which they drop or scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from concord import Chain, Groups, Rollouts, Stage
from concord.core.signal import Outcome
from concord.stages import (
    BatchNormalize,
    BlendByConsistency,
    BoundedTarget,
    DropLopsidedGroups,
    DropUniformGroups,
    FilterByRank,
    GroupCentreBatchScale,
    GroupNormalize,
    InformationGain,
    KeepExtremes,
    LeaveOneOut,
    LengthAdvantage,
    OverlongPenalty,
    ScaleByDifficulty,
    Sum,
    TemperedTarget,
    WhitenTokens,
)

NAN = math.nan


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def batch(groups: Sequence[Sequence[float]], **columns: Any) -> Rollouts:
    """One reward; a list a group."""
    ids = [p for p, scores in enumerate(groups) for _ in scores]
    rewards = torch.tensor([[score] for scores in groups for score in scores], dtype=torch.float64)
    return Rollouts(rewards, Groups.of(ids), ("r",), {name: torch.tensor(value) for name, value in columns.items()})


def after(stage: Stage, rollouts: Rollouts) -> Outcome:
    return Chain((stage, Sum()))(rollouts)


METRICS: dict[str, tuple[Stage, Rollouts, Mapping[str, float]]] = {
    "groups of one spread": (
        GroupNormalize(), batch([[1.0, 1.0], [1.0, 2.0], [5.0], [NAN, 3.0, 4.0]]), {"flat/r": 2 / 4, "faint/r": 0.0},
    ),
    "groups that vary": (GroupNormalize(), batch([[1.0, 3.0], [1.0, 2.0]]), {"flat/r": 0.0, "faint/r": 0.0}),
    "lone rollouts": (LeaveOneOut(), batch([[1.0, 2.0], [3.0, NAN], [4.0], [NAN]]), {"singletons": 2 / 4}),
    "the batch's deviation": (
        GroupCentreBatchScale(), batch([[0.0, 2.0], [4.0, NAN, 6.0]]), {"std": math.sqrt(20 / 3)},
    ),
    "uniform groups": (
        DropUniformGroups(), batch([[1.0, 1.0], [1.0, 2.0], [0.0, 0.0], [3.0, NAN]]), {"dropped": 3 / 4},
    ),
    # Three of five won less than two lost: |1| / 5; four less one: 3 / 5, which is the limit; five: 1.
    "lopsided groups": (
        DropLopsidedGroups(0.6),
        batch([[1.0, 1.0, 1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0, -1.0], [-1.0] * 5, [1.0, NAN, 1.0, NAN, 0.0]]),
        {"dropped": 2 / 4},
    ),
    "the extremes": (
        KeepExtremes(0.5), batch([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0]], lengths=[1] * 6), {"dropped": 2 / 6},
    ),
    "best and worst": (
        FilterByRank("best_worst"), batch([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, NAN]]),
        {"dropped": 3 / 7, "largest": 7 / 4},
    ),
    "the best and another": (
        FilterByRank("best_random"), batch([[1.0, 2.0, 3.0, 4.0]]), {"dropped": 0.0, "largest": 4 / 2},
    ),
    # Beyond 15 of 20 tokens: a fifth of the factor for each.
    "length beyond the limit": (
        OverlongPenalty(20, 5, 0.5), batch([[0.0] * 4], lengths=[15, 16, 20, 90]), {"mean": 0.5 * 2.2 / 4},
    ),
    "targets above one": (BoundedTarget(), batch([[1.0, 2.0, 4.0], [5.0, NAN]]), {"up": 1 / 4}),
    # Entropies 0 and 1 bit; w = sigmoid(5 (H - 1)), and 0 where the reward is.
    "answers": (
        BlendByConsistency(), batch([[1.0, 1.0], [1.0, 0.0], [NAN, NAN]], answers=[7, 7, 7, 8, 7, 7]),
        {"entropy": 0.5, "local_weight": (2 * sigmoid(-5) + 0.5) / 4},
    ),
    "the gain of turns": (
        InformationGain(),
        batch(
            [[0.0, 1.0, 0.0, 1.0, NAN]], trajectory=[0, 0, 1, 1, 2], turn=[0, 1, 0, 1, 0],
            answer_logp=[[-1.0, 0.0], [9.0, 9.0], [-2.0, -1.0], [9.0, 9.0], [-1.0, 0.0]],
        ),
        {"gain": (1 - math.exp(-1) + math.exp(-1) - math.exp(-2)) / 2},
    ),
    "a batch's gain": (BatchNormalize(eps=0.0), batch([[0.0, 2.0], [2.0, 4.0, NAN]]), {"gain": math.sqrt(3 / 8)}),
    "by its tokens": (
        BatchNormalize("tokens", eps=0.0), batch([[0.0, 1.0]], lengths=[3, 1]), {"gain": 2.0},  # var = 3/4 of 3 / 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", METRICS)
def test_by_hand(what: str) -> None:
    stage, rollouts, expected = METRICS[what]
    found = {
        name: value.item()
        for name, value in after(stage, rollouts).metrics.items()
        if name.startswith(f"{stage.name}/")
    }
    assert found == pytest.approx({f"{stage.name}/{name}": value for name, value in expected.items()}, abs=1e-9)


@pytest.mark.parametrize(("limit", "kept"), [(0.6, True), (math.nextafter(0.6, 0), False), (0.2, False), (1.0, True)])
def test_a_group_at_the_limit_is_not_lopsided(limit: float, kept: bool) -> None:
    """Four won and one lost: 3 / 5."""
    for scores in ([1.0, 1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, -1.0, -1.0, 1.0]):
        assert after(DropLopsidedGroups(limit), batch([scores])).keep.any().item() is kept


@pytest.mark.parametrize(
    ("share", "size", "kept"),
    [(0.5, 8, 4), (0.5, 7, 2), (0.6, 5, 2), (1.0, 6, 6), (1.0, 7, 6), (0.58, 100, 58), (0.29, 200, 58), (0.1, 8, 2)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_many_extremes_as_the_share_says(share: float, size: int, kept: int, dtype: torch.dtype) -> None:
    """From each end floor(share * size / 2), whatever the product's last digit."""
    rewards = torch.arange(size, dtype=dtype)[:, None]
    rollouts = Rollouts(rewards, Groups.uniform(1, size), ("r",), {"lengths": torch.ones(size, dtype=torch.int64)})
    keep = after(KeepExtremes(share), rollouts).keep.tolist()
    half = kept // 2
    assert keep == [True] * half + [False] * (size - kept) + [True] * half


def test_the_extremes_of_small_groups_and_of_equals() -> None:
    """Of equals the longer is worse; two are kept whatever the share, and the middle of three is not."""
    rollouts = batch([[1.0, 1.0, 1.0], [2.0, 1.0], [4.0]], lengths=[5, 9, 7, 1, 1, 1])
    outcome = after(KeepExtremes(0.1), rollouts)
    assert outcome.keep.tolist() == [True, True, False, True, True, True]
    assert outcome.metrics["keep_extremes/dropped"].item() == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("tau", "scale"),
    [
        (4.0, 1.0),
        (math.nextafter(4.0, 0), sigmoid(0) / sigmoid(1)),
        (1.0, sigmoid(0) / sigmoid(1)),
        (math.nextafter(1.0, 0), 1.0),  # all of them are outliers
    ],
)
def test_a_gap_at_tau_is_no_outlier(tau: float, scale: float) -> None:
    """Gaps of 0, 0 and 3 from the demonstration, which are 1, 1 and 2 from their mean, 1."""
    rollouts = batch([[3.0, 3.0, 0.0]], similarity=[1.0] * 3, demo_reward=[3.0] * 3)
    outcome = after(ScaleByDifficulty(tau), rollouts)
    assert outcome.metrics["scale_by_difficulty/mean"].item() == pytest.approx(scale)
    assert outcome.advantages.tolist() == pytest.approx([3 * scale, 3 * scale, 0.0])


@pytest.mark.parametrize(
    ("scores", "lengths", "rule", "full"),
    [
        ([1.0, 0.0], [11, 10], "llm", True),
        ([1.0, 0.0], [10, 10], "llm", False),  # longer than the wrong ones, not as long
        ([0.5, 0.0], [11, 10], "llm", False),  # at the threshold is wrong
        ([0.5, 0.0], [11, 10], "vlm", True),  # and then there is none that is right
        ([1.0, 0.0], [60, 99], "llm", False),
        ([1.0, 0.0], [60, 100], "llm", True),  # what was cut off is no evidence, and then nothing is wrong
        ([1.0, 0.0], [60, 100], "vlm", False),
        ([1.0, 1.0], [10, 10], "llm", True),
        ([1.0, 1.0], [10, 10], "vlm", False),
        ([0.0, 0.0], [10, 10], "llm", False),
        ([0.0, 0.0], [10, 10], "vlm", True),
    ],
)
def test_where_length_is_of_no_advantage(scores: list[float], lengths: list[int], rule: Any, full: bool) -> None:
    outcome = after(LengthAdvantage(rule, max_length=100, factor=0.25), batch([scores], lengths=lengths))
    assert outcome.advantages.tolist() == [score * (1 if full else 0.25) for score in scores]
    assert outcome.metrics["length_advantage/attenuated"].item() == 1 - full


def tempered(change: float, entropy: float, scores: Sequence[float] = (1.0, 0.0)) -> Outcome:
    """Two responses of one token, likelier by ``change`` nats when tempered, after a step of that entropy."""
    rollouts = batch([scores])
    logp = torch.full((2, 1), -0.75, dtype=torch.float64)
    columns = {"old_logp": logp, "tempered_logp": logp + change, "response_mask": torch.ones(2, 1).bool()}
    return Chain((Sum(), TemperedTarget()))(rollouts.with_columns(**columns), (None, entropy))


@pytest.mark.parametrize(
    ("entropy", "distance"), [(0.5, 0.0), (0.45, 0.05), (0.55, 0.05), (0.4, 0.1), (0.3, 0.1), (2.0, 0.1)]
)
def test_how_much_the_other_temperature_counts(entropy: float, distance: float) -> None:
    """Half of the rollouts are correct: a = d / (d + 1/2), d at most 0.1."""
    outcome, share = tempered(0.0, entropy), distance / (distance + 0.5)
    assert outcome.metrics["tempered_target/share"].item() == pytest.approx(share)
    assert outcome.metrics["tempered_target/entropy"].item() == 0.75
    assert outcome.metrics["tempered_target/next_temperature"].item() == pytest.approx(0.8)  # above the target
    assert outcome.advantages.tolist() == pytest.approx([1 - share + share, 0.0])


@pytest.mark.parametrize(
    ("change", "exponent"), [(19.5, 19.5), (20.5, 20.0), (1e4, 20.0), (-3.0, -3.0), (-20.5, -20.0)]
)
def test_the_log_ratio_of_two_temperatures_is_bounded_by_twenty_nats(change: float, exponent: float) -> None:
    share = 0.1 / 0.6
    want = (1 - share) + share * math.exp(exponent)
    assert tempered(change, 0.0).advantages[0].item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(("score", "correct"), [(0.05, False), (0.0501, True)])
def test_a_score_above_the_threshold_is_correct(score: float, correct: bool) -> None:
    share = tempered(0.0, 0.0, (score, 0.0)).metrics["tempered_target/share"].item()
    assert share == pytest.approx(0.1 / 0.6 if correct else 1.0)


def test_whitened_tokens_have_the_deviations_reciprocal_as_gain() -> None:
    """Tokens 0, 2 and 4 of the kept response and its fellow: variance 8 / 3, with Bessel's correction 4."""
    rollouts = batch([[1.0, 2.0]], response_mask=[[True, True], [True, False]])

    class Places(Stage):
        def apply(self, signal: Any, batch: Rollouts) -> Any:
            return signal.to(token_values=torch.tensor([[0.0, 2.0], [4.0, 99.0]], dtype=torch.float64))

    outcome = Chain((Sum(), Places(), WhitenTokens()))(rollouts)
    assert outcome.metrics["whiten_tokens/gain"].item() == pytest.approx(0.5)
    assert outcome.token_advantages is not None
    torch.testing.assert_close(outcome.token_advantages, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double())


@pytest.mark.parametrize(
    ("scores", "faint"),
    [
        ([1.0, 1.0 - 0.99e-4, 1.0, 1.0], 1.0),  # less than a ten-thousandth of its size
        ([1.0, 1.0 - 1.01e-4, 1.0, 1.0], 0.0),
        ([1.0, 1.0, 1.0, 1.0], 0.0),  # it does not vary: flat, and not faint
        ([0.0, 0.99e-2, 0.0, 0.0, 100.0, 100.0, 100.0, 100.0], 0.5),  # less than that of the batch's range
        ([0.0, 1.01e-2, 0.0, 0.0, 100.0, 100.0, 100.0, 100.0], 0.0),
    ],
)
def test_a_faint_reward_varies_by_less_than_a_ten_thousandth(scores: list[float], faint: float) -> None:
    x = torch.tensor(scores, dtype=torch.float64)[:, None]
    metrics = Chain((GroupNormalize(),))(Rollouts(x, Groups.uniform(len(x) // 4, 4), ("a",))).metrics
    assert metrics["group_normalize/faint/a"] == faint
