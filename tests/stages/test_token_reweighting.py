"""THR: which tokens train, and how much, by hand and in loops; and what its sign says of the correct responses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from concord import Chain, Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.functional.token_scores import token_scores
from concord.stages import ReweightDominantTokens, Sum
from tests.batches import make_batch

NONE = float("nan")


def scored(*groups: list[float], scores: list[list[float]]) -> Rollouts:
    """NaN among the scores is where a response has no token; anything may stand there."""
    ids = [p for p, group in enumerate(groups) for _ in group]
    rewards = torch.tensor([[value] for group in groups for value in group], dtype=torch.float64)
    told = torch.tensor(scores, dtype=torch.float64)
    return Rollouts(rewards, Groups.of(ids), ("r",), {"token_scores": told, "response_mask": ~told.isnan()})


def weights(batch: Rollouts, p: float, beta: float = 1.0) -> list[list[float]]:
    """What a token's advantage is of its response's."""
    outcome = create("thr", p=p, beta=beta).signal(batch)
    assert outcome.token_advantages is not None
    share = outcome.token_advantages / torch.where(outcome.advantages == 0, 1, outcome.advantages)[:, None]
    return [[round(value, 9) for value in row] for row in share.tolist()]


# The mean of the only good response is 2: the limit. A bad response's THR is minus its score.
ONE_OF_FOUR = scored([1, 0, 0, 0], scores=[[1.0, 3.0, NONE], [2.5, -2.0, 1.0], [-4.0, 7.0, NONE], [0.0, NONE, NONE]])


@pytest.mark.parametrize("p", [0.3, -0.3, 1.0, 0.0])
def test_tokens_below_the_limit_are_silent_and_the_others_weigh_by_the_sign(p: float) -> None:
    up, down = round(1 + p, 9), round(1 - p, 9)
    assert weights(ONE_OF_FOUR, p) == [[0, up, 0], [down, 0, 0], [up, down, 0], [0, 0, 0]]
    assert weights(ONE_OF_FOUR, p, beta=2.0) == [[0, 0, 0], [0, 0, 0], [0, down, 0], [0, 0, 0]]


def test_its_metrics_count_tokens_of_responses_that_are_told_apart() -> None:
    metrics = create("thr").signal(ONE_OF_FOUR).metrics
    assert metrics["reweight_dominant_tokens/dominant"].item() == pytest.approx(4 / 8)
    assert metrics["reweight_dominant_tokens/positive"].item() == pytest.approx(2 / 4)


def test_a_negative_limit_lets_every_token_train() -> None:
    batch = scored([1, 0], scores=[[-3.0, 1.0], [0.0, -0.5]])
    assert weights(batch, 0.25) == [[0.75, 1.25], [1.0, 1.25]]


def test_with_no_limit_and_no_sign_it_is_grpo() -> None:
    batch, _ = make_batch(3, missing=0.2)
    outcome = create("thr", p=0.0, beta=0.0).signal(batch)
    advantages = create("grpo").signal(batch).advantages[:, None].expand(-1, 50)
    assert outcome.token_advantages is not None
    assert torch.equal(outcome.token_advantages, torch.where(batch.columns["response_mask"], advantages, 0))


def test_what_good_responses_share_with_a_bad_one_weighs_as_in_nthr() -> None:
    """One of four is right: NTHR's eta is 0.5, which is 1 - p for p = 0.5."""
    soft, hidden = (create(name, **more).signal(ONE_OF_FOUR) for name, more in (("nthr", {}), ("thr", {"p": 0.5})))
    assert soft.token_advantages is not None
    assert hidden.token_advantages is not None
    for n, t in ((1, 0), (2, 1)):
        assert hidden.token_advantages[n, t] == soft.token_advantages[n, t] == soft.advantages[n] * 0.5


def test_a_group_of_one_label_is_left_alone() -> None:
    batch = scored([2.0, 1.0], [-1.0, -2.0], [1.0, -1.0], scores=[[5.0, 0.0]] * 6)
    tokens = Chain((Sum(), ReweightDominantTokens(0.5)))(batch).token_advantages
    assert tokens is not None
    assert tokens.tolist() == [[2, 2], [1, 1], [-1, -1], [-2, -2], [1.5, 0], [-0.5, 0]]
    assert weights(scored([1, 1], scores=[[5.0, 5.0], [0.0, 9.0]]), 0.5) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p", [0.2, -0.7])
def test_the_rule_equals_its_loop_on_ragged_interleaved_groups(seed: int, p: float) -> None:
    batch, ids = make_batch(seed, missing=0.1)
    outcome = create("thr", p=p, beta=0.8).signal(batch)
    scores, mask = batch.columns["token_scores"], batch.columns["response_mask"]
    A = outcome.advantages.tolist()
    assert outcome.token_advantages is not None
    for n, number in enumerate(ids):
        peers = [m for m, other in enumerate(ids) if other == number]
        good = [m for m in peers if A[m] > 0]
        limit = 0.8 * min((scores[m][mask[m]].mean().item() for m in good), default=0.0)
        for t in range(scores.shape[1]):
            thr = scores[n, t].item() if A[n] > 0 else -scores[n, t].item()
            weight = 0.0 if abs(thr) <= limit else 1 + p if thr > 0 else 1 - p
            want = A[n] * weight if mask[n, t] else 0.0
            assert outcome.token_advantages[n, t].item() == pytest.approx(want)


def test_its_sign_says_whether_training_on_the_token_makes_the_correct_responses_likelier() -> None:
    """The last layer of a policy alone: a step along one token's advantage, and what the correct responses gain."""
    g = torch.Generator().manual_seed(0)
    N, T, H, V = 4, 3, 5, 6
    states = torch.randn(N, T, H, generator=g, dtype=torch.float64)
    layer = torch.randn(V, H, generator=g, dtype=torch.float64, requires_grad=True)
    chosen = torch.randint(0, V, (N, T), generator=g)
    logp = (states @ layer.T).log_softmax(2).gather(2, chosen[..., None])[..., 0]
    correct, mask = torch.tensor([True, False, True, False]), torch.ones(N, T).bool()
    probabilities = (states @ layer.T).softmax(2).detach()
    scores = token_scores(states, probabilities, chosen, mask, correct, Groups.uniform(1, N))
    rewards = correct[:, None].double()
    batch = Rollouts(rewards, Groups.uniform(1, N), ("r",), {"token_scores": scores, "response_mask": mask})
    outcome = create("thr", p=0.5, beta=0.0).signal(batch)
    assert outcome.token_advantages is not None
    gain = torch.autograd.grad(logp[correct].sum(), layer, retain_graph=True)[0]
    for n in range(N):
        for t in range(T):
            step = torch.autograd.grad(logp[n, t] * outcome.advantages[n], layer, retain_graph=True)[0]
            weight = outcome.token_advantages[n, t] / outcome.advantages[n]
            assert weight.item() == pytest.approx(1.5 if (step * gain).sum() > 0 else 0.5)


def test_what_is_off_the_mask_and_who_was_not_scored_say_nothing() -> None:
    batch = scored([1, 0, NONE], scores=[[1.0, 3.0], [2.5, -4.0], [8.0, 8.0]])
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    told = batch.columns["token_scores"].clone()
    told[1, 1] = torch.inf
    outcome = create("thr").signal(batch.with_columns(token_scores=told, response_mask=mask))
    assert outcome.token_advantages is not None
    assert (outcome.token_advantages != 0).tolist() == [[False, True], [True, False], [False, False]]
    assert outcome.token_advantages.isfinite().all()
    assert outcome.metrics["reweight_dominant_tokens/dominant"].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ReweightDominantTokens(p=1.5), r"p must be in \[-1, 1\]"),
        (lambda: ReweightDominantTokens(p=NONE), r"p must be in \[-1, 1\]"),
        (lambda: ReweightDominantTokens(beta=-1.0), "beta must not be negative"),
    ],
)
def test_parameters_outside_their_range(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_columns_of_two_widths_are_refused() -> None:
    columns = {"token_scores": torch.zeros(2, 3), "response_mask": torch.ones(2, 4).bool()}
    with pytest.raises(BatchError, match=r"token_scores are \(2, 3\), response_mask \(2, 4\)"):
        create("thr").signal(Rollouts(torch.eye(2)[:, :1], Groups.uniform(1, 2), ("r",), columns))


@pytest.mark.parametrize("method", ["thr", "nthr"])
def test_a_good_response_without_tokens_sets_no_limit(method: str) -> None:
    """Its mean score would be 0, below that of the other good one."""
    both = scored([1, 1, 0, 0], scores=[[1.0, 3.0], [NONE, NONE], [2.5, -1.0], [-3.0, 0.5]])
    alone = scored([1, 1, 0, 0], scores=[[1.0, 3.0], [1.0, 3.0], [2.5, -1.0], [-3.0, 0.5]])
    found, wanted = (create(method).signal(batch).token_advantages for batch in (both, alone))
    assert found is not None
    assert wanted is not None
    assert torch.equal(found[[0, 2, 3]], wanted[[0, 2, 3]])
    assert (found[1] == 0).all()


@pytest.mark.parametrize("method", ["thr", "nthr"])
def test_a_group_whose_good_responses_have_no_token_is_left_alone(method: str) -> None:
    outcome = create(method).signal(scored([1, 0, 0], scores=[[NONE, NONE], [2.5, -1.0], [-3.0, 0.5]]))
    assert outcome.token_advantages is not None
    assert torch.equal(outcome.token_advantages[1:], outcome.advantages[1:, None].expand(-1, 2))
