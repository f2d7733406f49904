"""The batch, the chain, and what they say when something is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import concord
from concord import Chain, Groups, Rollouts, Signal, Stage, create
from concord.core.errors import BatchError, ConcordError, ConfigError, DuplicateName, MissingColumn, UnknownName
from concord.stages import GroupNormalize, MaskConflicts, OverlongPenalty, Sum, Weigh
from tests.batches import make_batch


@dataclass(frozen=True)
class RunningMean(Stage):
    """Subtract the mean of all batches so far: a stage with state."""

    def init(self) -> tuple[float, int]:
        return 0.0, 0

    def step(self, signal: Signal, batch: Rollouts, state: tuple[float, int]) -> tuple[Signal, tuple[float, int]]:
        total, count = state[0] + signal.values.sum(), state[1] + len(signal.values)
        return signal.to(signal.values - total / count), (total, count)


def test_state_is_handed_back_and_in() -> None:
    chain = Chain((Sum(), RunningMean()))
    batch, _ = make_batch(rewards=1)
    first = chain(batch)
    second = chain(batch, first.state)
    assert second.state[1][1] == 2 * first.state[1][1] == 32
    assert chain.init() == (None, (0.0, 0))
    with pytest.raises(BatchError, match="state has 1 entries, this chain 2 stages"):
        chain(batch, (None,))


def test_replace_and_without_leave_the_chain_alone() -> None:
    chain = create("gd2po").signal
    assert "reweight_groups" not in chain.without("reweight_groups").names
    assert chain.replace("mask_conflicts", MaskConflicts(0.1)).stages[2] == MaskConflicts(0.1)
    assert chain == create("gd2po").signal
    with pytest.raises(UnknownName, match=r"no stage 'whitten' .* did you mean 'whiten'"):
        chain.without("whitten")


def test_two_stages_of_one_name() -> None:
    with pytest.raises(BatchError, match="used twice: sum"):
        Chain((Sum(), Sum()))


def test_several_channels_at_the_end() -> None:
    batch, _ = make_batch()
    with pytest.raises(BatchError, match=r"ends with channels \('r0', 'r1', 'r2'\); add Sum\(\)"):
        Chain((GroupNormalize(),))(batch)


def test_a_custom_stage_reads_columns_and_travels_as_config() -> None:
    @dataclass(frozen=True)
    class Shorten(Stage):
        needs = frozenset({"lengths"})
        rate: float = 0.01

        def apply(self, signal: Signal, batch: Rollouts) -> Signal:
            return signal.to(signal.values - self.rate * batch.column("lengths")[:, None])

    chain = Chain((Sum(), Shorten(0.5)))
    assert Chain.from_config(chain.to_config()) == chain
    batch, _ = make_batch(rewards=1)
    want = batch.rewards[:, 0] - 0.5 * batch.columns["lengths"]
    torch.testing.assert_close(chain(batch).advantages, want)


def test_another_class_of_a_taken_name() -> None:
    with pytest.raises(DuplicateName, match="stage 'sum' is concord"):
        type("Sum", (Stage,), {"__module__": "elsewhere"})


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"stage": "summ"}, UnknownName, "did you mean 'sum'"),
        ({"stage": "mask_conflicts", "tua": 1}, ConfigError, "no parameter 'tua'; did you mean 'tau'"),
        ({"tau": 1}, ConfigError, "under the key 'stage'"),
    ],
)
def test_bad_stage_configs(config: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Chain.from_config([config])


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (torch.zeros(4), r"\[rollouts, rewards\], got shape \(4,\); one reward is a column"),
        ([[1.0]], "groups cover 4 rollouts, rewards 1"),
        (torch.zeros(4, 2, dtype=torch.int64), "call .float"),
        (torch.zeros(3, 2), "groups cover 4 rollouts, rewards 3"),
        (torch.zeros(4, 3), "3 reward columns, but 2 names"),
    ],
)
def test_rewards_that_do_not_fit(rewards: object, message: str) -> None:
    with pytest.raises(BatchError, match=message):
        Rollouts(rewards, Groups.uniform(1, 4), ("a", "b"))  # type: ignore[arg-type]


def test_a_reward_name_used_twice() -> None:
    with pytest.raises(BatchError, match="used twice: a"):
        Rollouts(torch.zeros(4, 2), Groups.uniform(1, 4), ("a", "a"))


def test_columns() -> None:
    batch = Rollouts(torch.zeros(4, 1), Groups.uniform(1, 4), ("a",), {"lengths": torch.ones(4)})
    assert set(batch.with_columns(correct=torch.ones(4)).columns) == {"lengths", "correct"}
    with pytest.raises(MissingColumn, match=r"no column 'length'; this batch carries .* did you mean 'lengths'"):
        batch.column("length")
    with pytest.raises(BatchError, match=r"column 'x' must be a tensor of 4 rows, got \(3,\)"):
        batch.with_columns(x=torch.ones(3))


def test_infinite_scores_are_not_scores() -> None:
    rewards = torch.tensor([[1.0], [torch.inf], [0.0], [-torch.inf]])
    outcome = create("grpo").signal(Rollouts(rewards, Groups.uniform(1, 4), ("a",)))
    assert outcome.keep.tolist() == [True, False, True, False]
    assert outcome.advantages.tolist() == pytest.approx([0.7071, 0, -0.7071, 0], abs=1e-4)


def test_half_precision_is_widened() -> None:
    rewards = torch.tensor([[1.0], [0.0]], dtype=torch.bfloat16)
    assert create("grpo").signal(Rollouts(rewards, Groups.uniform(1, 2), ("a",))).advantages.dtype == torch.float32


def test_everything_dropped_leaves_empty_groups() -> None:
    rewards = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    batch = Rollouts(rewards, Groups.uniform(1, 2), ("a", "b"), {"lengths": torch.tensor([3, 4])})
    outcome = create("gd2po").signal(batch)
    assert outcome.empty_groups.tolist() == [True]
    assert outcome.advantages.tolist() == [0, 0]
    assert outcome.metrics["mask_conflicts/cancelled"] == 1


def test_outcome_carries_no_gradient() -> None:
    rewards = torch.rand(4, 1, requires_grad=True)
    assert not create("grpo").signal(Rollouts(rewards, Groups.uniform(1, 4), ("a",))).advantages.requires_grad


def test_weights() -> None:
    batch, _ = make_batch()
    with pytest.raises(BatchError, match=r"a weight names reward 'r0x'; .* did you mean 'r0'"):
        create("gdpo", weights={"r0x": 1.0}).signal(batch)
    with pytest.raises(ConfigError, match="finite"):
        Weigh({"a": float("nan")})
    assert Weigh({"b": 1, "a": 2}) == Weigh([("a", 2.0), ("b", 1.0)])


def test_tau_outside_its_range() -> None:
    for rule in ("code", "paper"):
        with pytest.raises(ConfigError, match=r"tau must be in \[0, 1\], got 1.2"):
            create("gd2po", tau=1.2, rule=rule)
    with pytest.raises(ConfigError, match="'code' or 'paper'"):
        create("gd2po", rule="papers")


def test_the_overlong_penalty_at_its_corners() -> None:
    lengths = torch.tensor([0, 6, 7, 8, 10, 11])
    batch = Rollouts(torch.zeros(6, 1), Groups.uniform(1, 6), ("a",), {"lengths": lengths})
    chain = Chain((Sum(), OverlongPenalty(max_length=10, buffer=4)))
    assert chain(batch).advantages.tolist() == [0, 0, -0.25, -0.5, -1, -1]
    with pytest.raises(ConfigError, match="buffer"):
        OverlongPenalty(max_length=4, buffer=5)


def test_dynamic_sampling_watches_the_named_reward() -> None:
    rewards = torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.1], [0.0, 0.1]])
    batch = Rollouts(rewards, Groups.uniform(2, 2), ("right", "short"), {"lengths": torch.ones(4)})
    assert create("dapo").signal(batch).empty_groups.tolist() == [False, False]
    assert create("dapo", metric="right").signal(batch).empty_groups.tolist() == [True, False]
    with pytest.raises(BatchError, match=r"watches reward 'rigth'; .* did you mean 'right'"):
        create("dapo", metric="rigth").signal(batch)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="no method 'gdop'; did you mean 'gdpo'"):
        create("gdop")
    with pytest.raises(UnknownName, match="no numerics 'verll'; there are verl, trl; did you mean 'verl'"):
        create("gdpo", numerics="verll")


def test_registering_a_taken_name() -> None:
    def grpo() -> concord.Method:
        return create("rloo")

    with pytest.raises(DuplicateName, match="method 'grpo' is registered already"):
        concord.register(concord.info("grpo"))(grpo)


def test_all_errors_are_one_family_and_read_as_text() -> None:
    error = UnknownName("no method 'x'")
    assert isinstance(error, ConcordError)
    assert isinstance(error, KeyError)
    assert str(error) == "no method 'x'"


def test_the_public_face() -> None:
    assert concord.__all__ == [
        "Card", "Chain", "ConcordError", "Groups", "Method", "Outcome", "Rollouts", "Signal", "Stage",
        "__version__", "advantages", "create", "info", "names", "register",
    ]  # fmt: skip


def test_a_stage_after_one_that_told_tokens_apart_must_not_be_lost() -> None:
    class TellApart(Stage):
        def apply(self, signal: Signal, batch: Rollouts) -> Signal:
            return signal.to(token_values=signal.values.expand(-1, 3))

    class Twice(Stage):
        def apply(self, signal: Signal, batch: Rollouts) -> Signal:
            return signal.to(2 * signal.values)

    batch, _ = make_batch(rewards=1)
    assert Chain((Twice(), TellApart()))(batch).push.advantages.shape == (16, 3)
    with pytest.raises(BatchError, match=r"'twice' changes what rollouts are worth .* put it before"):
        Chain((TellApart(), Twice()))(batch)


def test_what_is_no_policy_method_says_what_it_is_before_it_is_built() -> None:
    with pytest.raises(ConfigError, match="'cooper' is a strategy, not an advantage or a policy loss"):
        create("cooper")
