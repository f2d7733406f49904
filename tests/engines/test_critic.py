"""PPO with the critic on the policy's own states: what it says, what it learns, and that it resumes."""

from __future__ import annotations

from pathlib import Path

import torch

from concord import create
from concord.engines.trl import ConcordTrainer
from tests.engines import tiny
from tests.engines.scored import Watched

RUN = {"method": "ppo", "rewards": [tiny.early, tiny.brief]}


def critic_of(trainer: ConcordTrainer) -> torch.nn.Linear:
    assert trainer._learning is not None
    head: torch.nn.Linear = trainer._learning._learner.head  # type: ignore[attr-defined]
    return head


def test_it_says_what_its_head_makes_of_the_states_and_the_advantages_are_ppos(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, Watched, **RUN, max_steps=3)
    heads: list[tuple[torch.Tensor, torch.Tensor]] = []
    assert trainer._learning is not None
    learn = trainer._learning.learn

    def watched(batch: object) -> object:
        heads.append(tuple(p.detach().clone() for p in critic_of(trainer).parameters()))  # type: ignore[arg-type]
        judged = learn(batch)  # type: ignore[arg-type]
        trainer.judged = judged  # type: ignore[attr-defined]
        return judged

    trainer._learning.learn = watched  # type: ignore[assignment, method-assign]
    trainer.train()
    batch, _, _ = trainer.seen[-1]
    weight, bias = heads[-1]
    assert weight.abs().max() > 0
    mask = batch.columns["response_mask"]
    values = torch.where(mask, batch.columns["states"] @ weight[0] / 16 + bias, 0)
    torch.testing.assert_close(trainer.judged.columns["values"], values, rtol=0, atol=1e-5)  # type: ignore[attr-defined]
    outcome = create("ppo").signal(batch.with_columns(values=values))
    logged = torch.tensor(list(trainer._logs["advantages"]))
    torch.testing.assert_close(logged, outcome.advantages, rtol=0, atol=1e-5)
    assert outcome.push.advantages.ndim == 2


def by_prompt(prompts: list[str], completions: list[str], **_: object) -> list[float]:
    """Half a point a letter of the prompt, and a little for the response."""
    return [len(p.split()) / 2 + len(c.split()) / 80 for p, c in zip(prompts, completions, strict=True)]


def test_it_learns_to_expect_what_comes(tmp_path: Path) -> None:
    """The policy stands still; a head on its random states comes to explain a third of the returns' variance."""
    trainer = tiny.trainer(
        tmp_path, method="ppo", rewards=[by_prompt], max_steps=30, per_device_train_batch_size=64, learning_rate=0.0
    )
    trainer.train()
    log = [entry["concord/gae/explained"] for entry in trainer.state.log_history if "concord/gae/explained" in entry]
    assert log[0] == 0.0
    assert sum(log[-10:]) / 10 > 0.2


def test_evaluation_teaches_nothing(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, options={"eval_dataset": tiny.prompts(4)}, **RUN)
    found = trainer.evaluate()
    assert "eval_concord/learner/value" in found
    assert all((p == 0).all() for p in critic_of(trainer).parameters())


def test_it_resumes_to_the_same_bits(tmp_path: Path) -> None:
    ends = []
    for start in (None, 3):
        trainer = tiny.trainer(tmp_path, **RUN, num_iterations=2, max_steps=6, save_strategy="steps", save_steps=3)
        trainer.train(resume_from_checkpoint=start and str(tmp_path / f"checkpoint-{start}"))
        tensors = trainer._learning.state()["tensors"]
        ends.append({**trainer.model.state_dict(), **{f"critic.{name}": value for name, value in tensors.items()}})
    assert all(torch.equal(ends[1][name], value) for name, value in ends[0].items())


def test_dropped_and_filtered_rollouts_compose(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, **RUN | {"method": "pf_ppo"}, max_steps=3)
    trainer.train()
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    assert critic_of(trainer).weight.abs().max() > 0
