"""Two processes (gloo) make the step that one would make of their joined batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.engines.loop import Sampled
from concord.engines.trl.rows import widen
from concord.functional.answers import answer_ids
from concord.functional.token_scores import token_scores
from tests.engines import fading, improving, tiny
from tests.engines.gradients import Loss, Step, assert_gradients, assert_table, expected
from tests.engines.scored import by_hand, padded
from tests.engines.test_loop import a_loop
from tests.engines.worker import CASES, run

LOSSES = {
    "split_groups": Loss(),
    "idle": Loss(),
    "dapo": Loss(high=0.28, count_dropped=False),
    "refill": Loss(high=0.28, count_dropped=False, beta=0.1),
    "clipo": Loss(mean="sequence"),
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("two"), list(CASES), 2)


def steps_of(rank: dict[str, Any], case: str) -> list[Step]:
    return [Step(**step) for step in rank[case]["steps"]]


def joined(ranks: list[dict[str, Any]], case: str) -> list[Step]:
    """The steps as one process would have seen them: its micro-batches are those of all ranks."""
    return [
        Step(a.parameters, a.gradient, a.batches + b.batches, a.first, a.table)
        for a, b in zip(*(steps_of(rank, case) for rank in ranks), strict=True)
    ]


def rollouts_of(batches: list[dict[str, torch.Tensor]]) -> tuple[Sampled, Rollouts]:
    """The rollouts of both, scored anew."""

    def both(key: str) -> torch.Tensor:
        width = max(batch[key].shape[1] for batch in batches)
        return torch.cat([widen(key, batch[key], width, 0) for batch in batches])

    mask = both("completion_mask").bool()
    sampled = Sampled(both("prompt_ids"), both("prompt_mask").bool(), both("completion_ids"), mask, ~mask[:, -1])
    texts = tiny.tokenizer().batch_decode(sampled.responses(), skip_special_tokens=True)
    groups = Groups.of([tuple(row) for row in sampled.prompt_ids.tolist()])
    return sampled, Rollouts(torch.tensor([tiny.first_letter(texts)]).T, groups, ("first_letter",))


def as_ids(sampled: Sampled) -> dict[str, torch.Tensor]:
    """Under the names of TRL's batches."""
    return {
        "prompt_ids": sampled.prompt_ids,
        "prompt_mask": sampled.prompt_mask,
        "completion_ids": sampled.response_ids,
        "completion_mask": sampled.response_mask,
    }


def assert_split(batches: list[dict[str, torch.Tensor]], advantages: torch.Tensor, tolerance: float) -> None:
    """Each process has its rows of the advantages ``[N, T]`` of all."""
    for part, wanted in zip(batches, advantages.split([len(part["keep"]) for part in batches]), strict=True):
        found = part["advantages"]
        assert found.ndim == 2
        torch.testing.assert_close(found, wanted[:, : found.shape[1]], rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", LOSSES)
def test_the_gradient_is_that_of_the_joined_batch(ranks: list[dict[str, Any]], case: str) -> None:
    loss = LOSSES[case]
    loss.reference = tiny.model().state_dict() if loss.beta else None
    whole = joined(ranks, case)
    for rank in ranks:  # the same on both, after the all-reduce
        assert_gradients(steps_of(rank, case), expected(whole, loss))


def test_the_batch_before_is_trained_on_again_on_whichever_process_its_rows_are(ranks: list[dict[str, Any]]) -> None:
    means = [entry["reward"] for entry in ranks[0]["pipo"]["log"] if "reward" in entry]
    wanted = list(improving.by_hand(joined(ranks, "pipo"), means, Loss(mean="sequence")))
    for rank in ranks:
        assert_gradients(steps_of(rank, "pipo"), wanted, tolerance=3e-6)


def test_some_micro_batch_had_nothing_to_compute(ranks: list[dict[str, Any]]) -> None:
    kept = [[int(b["keep"].sum()) for b in step.batches] for rank in ranks for step in steps_of(rank, "idle")]
    assert any(0 in batches for batches in kept)


def test_refilled_groups_stand_where_they_are_trained(ranks: list[dict[str, Any]]) -> None:
    """Prompt, completion and advantage of the log are those of the tokens, on whichever process they are."""
    assert any(
        entry.get("concord/refill/empty", 0) > entry.get("concord/refill/left", 0)
        for entry in ranks[0]["refill"]["log"]
    )
    for one, other in zip(*(steps_of(rank, "refill") for rank in ranks), strict=True):
        assert one.table == other.table
    assert_table(joined(ranks, "refill"))


def test_resumed_in_the_middle_of_a_generation_batch(ranks: list[dict[str, Any]]) -> None:
    whole, again = ranks[0]["resumed"]
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    assert all(torch.equal(ranks[1]["resumed"][1][name], value) for name, value in whole.items())


def test_both_teach_the_same_head(ranks: list[dict[str, Any]]) -> None:
    one, other = (rank["clipo"]["learner"] for rank in ranks)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert all(entry["concord/learner/groups"] > 0 for entry in ranks[0]["clipo"]["log"] if "reward" in entry)


def test_a_fault_in_one_process_stops_both_and_both_say_why(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["stopped"].startswith(
            "reward 'elsewhere': 8 of 16 scores failed; the first: LookupError: only here"
        )


def test_the_facts_of_both_meet_in_one_chain(ranks: list[dict[str, Any]]) -> None:
    """DCPO's advantages, token by token, from log-probabilities worked out row by row."""
    batches = [steps_of(rank, "dcpo")[0].batches[0] for rank in ranks]
    sampled, batch = rollouts_of(batches)
    rows = by_hand(as_ids(sampled), steps_of(ranks[0], "dcpo")[0].parameters)
    for row in rows:
        tokens = row["response"][:, None]
        row["old"] = row["logp"].gather(1, tokens)[:, 0]
        row["hot"] = (row["logp"] / 1.2).log_softmax(1).gather(1, tokens)[:, 0]
    width = sampled.response_ids.shape[1]
    facts = {"old_logp": padded(rows, "old", width), "tempered_logp": padded(rows, "hot", width)}
    outcome = create("dcpo").signal(batch.with_columns(**facts, response_mask=sampled.response_mask))
    assert_split(batches, outcome.push.advantages, 1e-5)


def test_tokens_are_scored_within_the_groups_of_each(ranks: list[dict[str, Any]]) -> None:
    """THR's advantages, from states and distributions worked out row by row."""
    batches = [steps_of(rank, "thr")[0].batches[0] for rank in ranks]
    sampled, batch = rollouts_of(batches)
    rows = by_hand(as_ids(sampled), steps_of(ranks[0], "thr")[0].parameters)
    width, mask = sampled.response_ids.shape[1], sampled.response_mask
    states, everything = torch.zeros(len(rows), width, 16), torch.zeros(len(rows), width, len(tiny.WORDS))
    for i, row in enumerate(rows):
        states[i, : len(row["response"])] = row["states"].float()
        everything[i, : len(row["response"])] = row["logp"].exp().float()
    good = create("grpo").signal(batch).advantages > 0
    scores = torch.zeros(len(rows), width)
    for p in range(batch.groups.count):
        group = (batch.groups.index == p).nonzero()[:, 0]
        tokens = sampled.response_ids[group][mask[group]].unique()
        chosen = torch.searchsorted(tokens, sampled.response_ids[group]).clamp(max=len(tokens) - 1)
        one = Groups.uniform(1, len(group))
        scores[group] = token_scores(
            states[group], everything[group][..., tokens], chosen, mask[group], good[group], one
        )
    outcome = create("thr").signal(batch.with_columns(token_scores=scores, response_mask=mask))
    assert good.any()
    assert_split(batches, outcome.push.advantages, 1e-4)


def test_both_teach_the_same_critic(ranks: list[dict[str, Any]]) -> None:
    heads = [rank["ppo"]["learner"] for rank in ranks]
    assert heads[0]["module.weight"].abs().max() > 0
    assert all(torch.equal(heads[1][name], value) for name, value in heads[0].items())


def test_what_functions_said_on_both_meets_in_one_chain(ranks: list[dict[str, Any]]) -> None:
    """COPO's advantages; a group is split, so its answers come from both."""
    batches = [steps_of(rank, "copo")[0].batches[0] for rank in ranks]
    sampled, batch = rollouts_of(batches)
    texts = tiny.tokenizer().batch_decode(sampled.responses(), skip_special_tokens=True)
    wanted = create("copo").signal(batch.with_columns(answers=answer_ids(tiny.last_letter(texts)))).advantages
    assert len(set(wanted.tolist())) > 2
    torch.testing.assert_close(torch.cat([part["advantages"] for part in batches]), wanted, rtol=0, atol=1e-5)


def test_what_a_chain_says_token_by_token_is_the_plain_loops_gradient_on_the_joined_batch(
    ranks: list[dict[str, Any]],
) -> None:
    """Each process gets its own rows of what the chain wrote, also where a refill moved them."""
    policy = tiny.model()
    with fading.entered() as name:
        loop = a_loop(create(name), policy)
    for steps in zip(*(steps_of(rank, "fading") for rank in ranks), strict=True):
        batches = [step.batches[0] for step in steps]
        policy.load_state_dict(steps[0].parameters)
        sampled, batch = rollouts_of(batches)
        done = loop.step(sampled, batch)
        parts = done.outcome.push.advantages.split([len(part["keep"]) for part in batches])
        for part, here in zip(parts, batches, strict=True):
            torch.testing.assert_close(part[:, : here["advantages"].shape[1]], here["advantages"], rtol=0, atol=1e-5)
        gradient = {name: p.grad for name, p in policy.named_parameters()}
        assert max(float(value.abs().max()) for value in steps[0].gradient.values()) > 1e-2
        for step in steps:
            torch.testing.assert_close(gradient, step.gradient, rtol=0, atol=2e-6)
    assert any(entry.get("concord/refill/empty", 0) > 0 for entry in ranks[0]["fading"]["log"])
    widths = zip(*(rank["fading"]["widths"] for rank in ranks), strict=True)
    assert any(one != other for one, other in widths), "no two widths"
