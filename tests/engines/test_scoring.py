"""What a method asks of the sampling policy at each token is what the policy says there, row by row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.engines.trl.check import check_method
from concord.methods import create
from tests.engines import tiny
from tests.engines.gradients import Step, record
from tests.engines.scored import Watched, by_hand

MICRO = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
Row = dict[str, Tensor]


def chosen(distribution: Tensor, row: Row) -> Tensor:
    return distribution.gather(1, row["response"][:, None])[:, 0]


def old_logp(row: Row) -> Tensor:
    return chosen(row["logp"], row)


def tempered(row: Row, temperature: float) -> Tensor:
    return chosen((row["logp"] / temperature).log_softmax(1), row)


def old_mean_logp(row: Row) -> Tensor:
    return row["logp"].mean(1)


def states(row: Row) -> Tensor:
    return row["states"]


def assert_tokens(found: Tensor, rows: list[Row], fact: Callable[[Row], Tensor]) -> None:
    assert len(found) == len(rows)
    for tokens, row in zip(found, rows, strict=True):
        want = fact(row)
        torch.testing.assert_close(tokens[: len(want)].double(), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cut", [{}, MICRO], ids=["whole", "micro-batches"])
@pytest.mark.parametrize(
    ("method", "facts"),
    [
        ("dcpo", {"old_logp": old_logp, "tempered_logp": partial(tempered, temperature=1.2)}),
        ("rover", {"old_mean_logp": old_mean_logp}),
        ("ppo", {"states": states}),
    ],
)
def test_a_fact_is_that_of_the_policy_that_sampled(
    tmp_path: Path, method: str, facts: dict[str, Callable[[Row], Tensor]], cut: dict[str, Any]
) -> None:
    trainer = tiny.trainer(tmp_path, Watched, method=method, temperature=0.7, max_steps=2, **cut)
    trainer.train()
    assert len(trainer.seen) == 2
    batch, ids, parameters = trainer.seen[0]
    rows = by_hand(ids, parameters, temperature=0.7)
    for name, fact in facts.items():
        assert_tokens(batch.columns[name], rows, fact)


def test_the_second_pass_follows_the_entropy(tmp_path: Path) -> None:
    """The first step is at the hot temperature; then the entropy decides, here above its target."""
    args = {"correct": "early", "threshold": 0.4}
    trainer = tiny.trainer(tmp_path, Watched, method="dcpo", method_args=args, max_steps=2)
    trainer.train()
    batch, ids, parameters = trainer.seen[1]
    assert float(trainer._state[-1]) > 0.5
    assert_tokens(batch.columns["tempered_logp"], by_hand(ids, parameters), partial(tempered, temperature=0.8))


@pytest.mark.parametrize("cut", [{}, MICRO | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8}])
@pytest.mark.parametrize("method", ["nthr", "thr"])
def test_tokens_are_scored_within_their_group(tmp_path: Path, method: str, cut: dict[str, Any]) -> None:
    """Against the double sum over tokens of the good responses; a group may come in several micro-batches."""
    trainer = tiny.trainer(tmp_path, Watched, method=method, rewards=[tiny.first_letter], max_steps=1, **cut)
    trainer.train()
    batch, ids, parameters = trainer.seen[0]
    rows, reward = by_hand(ids, parameters), batch.rewards[:, 0]
    groups = [[i for i in range(16) if batch.groups.index[i] == p] for p in range(4)]
    mixed = 0
    for group in groups:
        mean = reward[group].mean()
        good = [i for i in group if reward[i] > mean]
        mixed += bool(good)
        vocabulary = torch.cat([ids["completion_ids"][group]]).unique()
        for i in group:
            want = [
                sum(
                    float(residual(rows[j], u)[vocabulary] @ residual(rows[i], t)[vocabulary])
                    * float(rows[j]["states"][u] @ rows[i]["states"][t])
                    for j in good
                    for u in range(len(rows[j]["response"]))
                )
                for t in range(len(rows[i]["response"]))
            ]
            found = batch.columns["token_scores"][i, : len(want)]
            torch.testing.assert_close(found.double(), torch.tensor(want, dtype=torch.float64), rtol=1e-4, atol=1e-4)
    assert mixed


def residual(row: Row, token: int) -> Tensor:
    found = -row["logp"][token].exp()
    found[row["response"][token]] += 1
    return found


def test_rovers_gradient_is_that_of_its_formula(tmp_path: Path) -> None:
    """Also on the second step with the same rollouts, where the mean over the vocabulary has moved."""
    trainer = tiny.trainer(tmp_path, method="rover", num_iterations=2, max_steps=4, learning_rate=0.5)
    steps = record(trainer)
    old: Step = steps[0]
    bootstrapped = 0.0
    for step in steps:
        old = step if step.first else old
        wanted, moved = rover_gradient(step, old.parameters)
        bootstrapped = max(bootstrapped, moved)
        assert max(float(value.abs().max()) for value in wanted.values()) > 1e-2
        for name, value in wanted.items():
            torch.testing.assert_close(step.gradient[name].double(), value, rtol=0, atol=1e-5)
    assert bootstrapped > 1e-3, "the mean never moved"


def rover_gradient(step: Step, old: dict[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    """Row by row in float64: (rho (logp - old) - sg(A + V[t + 1]))^2, over all tokens."""
    models = [tiny.model(), tiny.model()]
    for model, parameters in zip(models, (step.parameters, old), strict=True):
        model.load_state_dict(parameters)
        model.double()
    (batch,), total, most = step.batches, torch.zeros((), dtype=torch.float64), 0.0
    for i in range(len(batch["keep"])):
        prompt = batch["prompt_ids"][i][batch["prompt_mask"][i].bool()]
        response = batch["completion_ids"][i][batch["completion_mask"][i].bool()]
        place = slice(len(prompt) - 1, len(prompt) + len(response) - 1)
        ids = torch.cat([prompt, response])[None]
        now, then = (model(input_ids=ids).logits[0, place].log_softmax(1) for model in models)
        value = (now.mean(1) - then.mean(1)).detach()
        target = float(batch["advantages"][i]) + torch.cat([value[1:], value.new_zeros(1)])
        most = max(most, float(value[1:].abs().sum()))
        q = (now - then.detach()).gather(1, response[:, None])[:, 0]
        total = total + (q - target).square().sum()
    (total / batch["completion_mask"].sum()).backward()
    return {name: p.grad for name, p in models[0].named_parameters() if p.grad is not None}, most


# ---- What cannot be ----


def test_logits_that_are_changed_after_the_head_are_refused_before_the_run(tmp_path: Path) -> None:
    capped = tiny.model()
    capped.config.final_logit_softcapping = 30.0
    with pytest.raises(ConfigError, match=r"Qwen2ForCausalLM changes its logits after its head \(final_logit_soft"):
        tiny.trainer(tmp_path, method="rover", model=capped)
    for method in ("ppo", "gd2po"):  # which read no distribution
        tiny.trainer(tmp_path, method=method, model=capped, max_steps=1).train()


@pytest.mark.parametrize("method", ["dcpo", "rover", "thr", "nthr", "ppo"])
def test_it_is_measured_in_float32_under_autocast(tmp_path: Path, method: str) -> None:
    trainer = tiny.trainer(tmp_path, Watched, method=method, rewards=[tiny.first_letter], bf16=True, max_steps=1)
    trainer.train()
    batch, ids, parameters = trainer.seen[0]
    facts = {name: value for name, value in batch.columns.items() if value.ndim > 1 and value.is_floating_point()}
    assert facts
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in facts.values())
    if "old_logp" in facts:
        for found, row in zip(facts["old_logp"], by_hand(ids, parameters), strict=True):
            want = old_logp(row)
            torch.testing.assert_close(found[: len(want)].double(), want, rtol=0, atol=0.1)


def test_scores_within_a_group_need_the_whole_group(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="each process must have whole groups of 4; these are 8 processes for 16"):
        check_method(create("nthr"), tiny.config(tmp_path, method="nthr"), ("a",), 4, 8)


def test_what_the_policy_moved_is_of_training_on_the_batch_before(tmp_path: Path) -> None:
    """Not of evaluation, nor of the batches before that; and it goes on from a checkpoint within a batch."""
    ends = []
    settings = {"method": "r2vpo_dual", "num_iterations": 2, "max_steps": 8, "learning_rate": 0.3, "save_steps": 3}
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4}
    for start, changes in ((None, {}), (3, {}), (None, evaluation)):
        options = {"eval_dataset": tiny.prompts(4)} if changes else {}
        trainer = tiny.trainer(tmp_path, save_strategy="steps", options=options, **settings, **changes)
        trainer.train(resume_from_checkpoint=start and str(tmp_path / f"checkpoint-{start}"))
        log = trainer.state.log_history
        measured = [entry["concord/objective/ratio_variance"] for entry in log if "concord/objective/clipped" in entry]
        prices = [
            entry["concord/variance_price/variance"] for entry in log if "concord/variance_price/variance" in entry
        ]
        ends.append((prices, trainer.model.state_dict()))
        if start is None:
            # Two steps a batch; at the first the policy has not moved.
            assert prices == pytest.approx([0.0] + [sum(measured[i : i + 2]) / 2 for i in (0, 2, 4)], rel=1e-3)
            assert max(prices) > 1e-3
    assert all(torch.equal(ends[1][1][name], value) for name, value in ends[0][1].items())
