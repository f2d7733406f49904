"""The plain loop takes TRL's steps, samples what the policy says, and computes no more than it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.engines.loop import Loop, Sampled
from concord.methods import Method
from concord.objectives import Kl
from tests.engines import tiny
from tests.engines.gradients import Step, record

NAMES = ("early", "brief", "varied")


def a_loop(method: Method, policy: Any = None, rate: float = 0.05, **changes: Any) -> Loop:
    policy = tiny.model() if policy is None else policy
    optimizer = torch.optim.SGD(policy.parameters(), lr=rate)
    return Loop(policy, method, optimizer, **{"end": 1, "pad": 0, "limit": 8, "max_grad_norm": torch.inf} | changes)


def same_rollouts(step: Step) -> tuple[Sampled, Rollouts]:
    """The rollouts of a step of TRL's, which has shuffled them, scored anew."""
    (batch,) = step.batches
    mask = batch["completion_mask"].bool()
    sampled = Sampled(batch["prompt_ids"], batch["prompt_mask"].bool(), batch["completion_ids"], mask, ~mask[:, -1])
    texts = tiny.tokenizer().batch_decode(sampled.responses(), skip_special_tokens=True)
    rewards = torch.tensor([reward(texts) for reward in tiny.REWARDS]).T
    return sampled, Rollouts(rewards, Groups.of([tuple(row) for row in batch["prompt_ids"].tolist()]), NAMES)


def moved(policy: Any, start: dict[str, Tensor]) -> Tensor:
    return torch.cat([(p.detach() - start[name]).flatten() for name, p in policy.named_parameters()])


@pytest.mark.parametrize(
    ("method", "micro_batch"),
    [("gd2po", None), ("gd2po", 3), ("grpo", 3), ("gdpo", None), ("dapo", None), ("rloo", None)],
)
def test_it_takes_the_same_step_as_the_trl_engine_from_the_same_rollouts(
    tmp_path: Path, method: str, micro_batch: int | None
) -> None:
    steps = record(tiny.trainer(tmp_path, method=method, max_steps=2))
    policy = tiny.model()
    loop = a_loop(create(method), policy, micro_batch=micro_batch)
    for step in steps:
        before = {name: p.detach().clone() for name, p in policy.named_parameters()}
        torch.testing.assert_close(before, {name: step.parameters[name] for name in before}, rtol=0, atol=2e-6)
        sampled, batch = same_rollouts(step)
        done = loop.step(sampled, batch)
        torch.testing.assert_close(done.outcome.advantages, step.batches[0]["advantages"], rtol=0, atol=1e-5)
        assert torch.equal(done.outcome.keep, step.batches[0]["keep"])
        gradient = {name: p.grad for name, p in policy.named_parameters()}
        torch.testing.assert_close(gradient, step.gradient, rtol=0, atol=2e-6)
        norm = torch.cat([part.flatten() for part in gradient.values()]).norm()
        assert done.gradient == pytest.approx(float(norm), rel=1e-5)
        assert float(moved(policy, before).abs().max()) > 1e-3
        torch.testing.assert_close(moved(policy, before), -0.05 * torch.cat([g.flatten() for g in gradient.values()]))


def prompts(count: int, group: int = 4) -> list[list[int]]:
    texts = list(tiny.prompts(count)["prompt"])
    return [ids for ids in tiny.tokenizer()(texts)["input_ids"] for _ in range(group)]


def test_what_is_sampled_has_the_probabilities_of_a_pass_over_the_whole() -> None:
    """Also once rows have left the batch and its cache: every token is the one that its random number asks for."""
    loop = a_loop(create("gdpo"), temperature=0.7)
    asked = prompts(8)
    sampled = loop.sample(asked, seed=5)
    assert len(set(sampled.lengths.tolist())) > 1
    draws = torch.rand(8, len(asked), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for row, (prompt, response) in enumerate(zip(asked, sampled.responses(), strict=True)):
        ids = torch.tensor([prompt + response])
        logits = loop.policy(input_ids=ids).logits[0, len(prompt) - 1 : -1] / 0.7
        edges = logits.double().softmax(-1).cumsum(-1)
        for place, token in enumerate(response):
            low = edges[place, token - 1] if token else 0.0
            assert low - 1e-5 <= draws[place, row] <= edges[place, token] + 1e-5
        assert (1 in response) == (not sampled.truncated[row])
        assert 1 not in response[:-1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None])[:, 0]
        found = loop.log_probs(sampled)[row, : len(response)]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_one_seed_gives_one_sample_whatever_else_is_in_the_batch() -> None:
    loop = a_loop(create("gdpo"))
    asked = prompts(4, group=2)
    first, again = (loop.sample(asked, seed=1).responses() for _ in range(2))
    assert first == again
    assert first != loop.sample(asked, seed=2).responses()


def test_dropped_and_silent_rollouts_are_not_computed() -> None:
    loop = a_loop(create("gd2po_hard"))
    asked = prompts(2)
    sampled = loop.sample(asked, seed=0)
    rewards = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]] + [[0.5, 0.5]] * 4)
    seen: list[int] = []
    forward = loop.policy.forward
    loop.policy.forward = lambda **inputs: seen.append(len(inputs["input_ids"])) or forward(**inputs)  # type: ignore[method-assign, func-returns-value]
    done = loop.step(sampled, Rollouts(rewards, Groups.uniform(2, 4), ("a", "b")))
    assert done.computed.tolist() == [False, False, True, True] + [False] * 4
    assert seen == [2]
    assert done.tokens == sum(len(asked[i]) + len(sampled.responses()[i]) for i in (2, 3))


def test_a_step_without_signal_moves_nothing_and_is_a_step_of_the_moments() -> None:
    policy = tiny.model()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1, weight_decay=0.0)
    loop = Loop(policy, create("gdpo"), optimizer, end=1, pad=0, limit=8)
    sampled = loop.sample(prompts(2), seed=0)
    start = {name: p.detach().clone() for name, p in policy.named_parameters()}
    silent = Rollouts(torch.ones(8, 2), Groups.uniform(2, 4), ("a", "b"))
    assert loop.step(sampled, silent).tokens == 0
    assert float(moved(policy, start).abs().max()) == 0.0
    loop.step(sampled, Rollouts(torch.rand(8, 2), Groups.uniform(2, 4), ("a", "b")))
    after = {name: p.detach().clone() for name, p in policy.named_parameters()}
    loop.step(sampled, silent)
    assert float(moved(policy, after).abs().max()) > 0.0


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (create("clipo"), "no learner and no reference"),
        (Method(create("gdpo").signal, create("gdpo").objective.with_penalty(Kl(0.1))), "no learner and no reference"),
    ],
)
def test_what_it_cannot_do_is_said_at_once(method: Method, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        a_loop(method)


def test_malformed_input_is_named() -> None:
    loop = a_loop(create("grpo"))
    for nothing in ([], [[3], []]):
        with pytest.raises(BatchError, match="prompts of one token or more"):
            loop.sample(nothing, seed=0)
    with pytest.raises(BatchError, match="8 rollouts were sampled, 4 were scored"):
        loop.step(loop.sample(prompts(2), seed=0), Rollouts(torch.rand(4, 1), Groups.uniform(1, 4), ("a",)))


@pytest.mark.parametrize("name", ["gd2po", "rover", "r2vpo_dual", "dhpo_entropy", "dcpo", "p3o_joint"])
def test_two_updates_are_two_iterations_in_trl(tmp_path: Path, name: str) -> None:
    """Off policy at the second, from the same rollouts; over two batches, so that what is remembered counts too."""
    args = {"correct": "early", "threshold": 0.4} if name == "dcpo" else {}
    rate = 0.02 if name == "p3o_joint" else 0.2  # at which few of its pairs have reached the clip
    settings = {"method": name, "method_args": args, "num_iterations": 2, "max_steps": 4, "learning_rate": rate}
    settings |= {"max_steps": 6} if name == "r2vpo_dual" else {}  # of the third batch the first must be forgotten
    steps = record(tiny.trainer(tmp_path, **settings))
    policy = tiny.model()
    loop = a_loop(create(name, **args), policy, rate=rate, updates=2)
    for first, second in zip(steps[::2], steps[1::2], strict=True):
        policy.load_state_dict(first.parameters)
        sampled, batch = same_rollouts(first)
        done = loop.step(sampled, batch)
        assert done.tokens == 2 * int(sampled.tokens[done.computed].sum())
        gradient = {name: p.grad for name, p in policy.named_parameters()}
        assert max(float(value.abs().max()) for value in gradient.values()) > 1e-2
        torch.testing.assert_close(gradient, second.gradient, rtol=0, atol=2e-5)
    if name == "r2vpo_dual":
        assert loop.state[-1] != create(name).signal.init()[-1], "the price never moved"


def test_a_batch_has_an_update() -> None:
    with pytest.raises(ConfigError, match="at least one update, got 0"):
        a_loop(create("gdpo"), updates=0)


def test_the_distribution_of_a_batch_is_looked_at_by_micro_batches() -> None:
    method = create("dcpo")
    whole, cut = a_loop(method), a_loop(method, micro_batch=3)
    sampled = whole.sample(prompts(4), seed=0)
    rows: list[int] = []
    cut.policy.register_forward_pre_hook(lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True)
    found, wanted = cut._facts(sampled), whole._facts(sampled)
    assert max(rows) == 3
    mask = sampled.response_mask
    for name in ("old_logp", "tempered_logp"):
        torch.testing.assert_close(found[name][mask], wanted[name][mask], rtol=0, atol=1e-5)
