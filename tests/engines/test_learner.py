"""A method with a learner: CLIPO's head sees the policy's own hidden states, and resumes with the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import Tensor

from concord.core.errors import ConfigError
from concord.engines.trl import ConcordTrainer
from concord.functional.pooling import mean_pool
from tests.engines import tiny
from tests.engines.gradients import Step, record

CLIPO = {"correct": "early", "threshold": 0.4, "dim": 8}
RUN = {"method": "clipo", "method_args": CLIPO, "rewards": [tiny.early, tiny.brief], "num_generations": 8}


class Watched(ConcordTrainer):
    """Keeps what its learner was taught on, and the parameters of that moment."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self.seen: list[tuple[Any, dict[str, Tensor]]] = []
        super().__init__(*given, **more)
        assert self._learning is not None
        learn = self._learning.learn

        def watched(batch: Any) -> Any:
            self.seen.append((batch, {name: value.clone() for name, value in self.model.state_dict().items()}))
            return learn(batch)

        self._learning.learn = watched  # type: ignore[method-assign]


def passes(trainer: ConcordTrainer) -> list[int]:
    """Rows of each forward pass without a gradient, but for those of generation, which have a cache."""
    rows: list[int] = []

    def count(_: Any, __: Any, options: dict[str, Any]) -> None:
        if not torch.is_grad_enabled() and options.get("past_key_values") is None:
            rows.append(len(options["input_ids"]))

    trainer.model.register_forward_pre_hook(count, with_kwargs=True)
    return rows


@pytest.mark.parametrize("changes", [{}, {"num_iterations": 2, "gradient_accumulation_steps": 2, "max_steps": 3}])
def test_the_states_are_the_policys_at_its_response(tmp_path: Path, changes: dict[str, Any]) -> None:
    trainer = tiny.trainer(tmp_path, Watched, **RUN | {"max_steps": 2} | changes)
    steps = [step for step in record(trainer) if step.first]
    assert len(steps) == len(trainer.seen) == 2
    for step, (batch, parameters) in zip(steps, trainer.seen, strict=True):
        found = batch.columns["hidden"]
        policy = tiny.model()
        policy.load_state_dict(parameters)
        wanted = pooled(step, policy)
        assert found.shape == wanted.shape
        # TRL has shuffled the rows that train: each has its like among those that the learner saw.
        assert (wanted[:, None] - found).abs().amax(2).amin(1).max() < 1e-5


def pooled(step: Step, policy: torch.nn.Module) -> Tensor:
    """The mean of a policy's last hidden states over the response, by transformers' own way to ask for them."""
    names = ("prompt_ids", "completion_ids", "prompt_mask", "completion_mask")
    prompt, response, before, there = (torch.cat([batch[name] for batch in step.batches]) for name in names)
    with torch.no_grad():
        ids, mask = torch.cat([prompt, response], 1), torch.cat([before, there], 1)
        last = policy(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
    return mean_pool(last[:, -response.shape[1] :], there.bool())


@pytest.mark.parametrize(("changes", "rows"), [({}, [16, 16]), ({"steps_per_generation": 2}, [8, 8])])
def test_one_pass_a_generation(tmp_path: Path, changes: dict[str, Any], rows: list[int]) -> None:
    """Where TRL passes over new rollouts itself, for more than one step on them, there is no second pass."""
    size = 16 // changes.get("steps_per_generation", 1)
    trainer = tiny.trainer(tmp_path, per_device_train_batch_size=size, **RUN | {"max_steps": 2} | changes)
    found = passes(trainer)
    trainer.train()
    assert found == rows


def test_the_states_are_not_those_of_the_reference(tmp_path: Path) -> None:
    """With an adapter the reference is the same model with the adapter off, and TRL passes through it too."""
    lora = {"peft_config": LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)}
    trainer = tiny.trainer(tmp_path, Watched, beta=0.1, options=lora, **RUN | {"max_steps": 1})
    found = passes(trainer)
    (step,) = record(trainer)
    assert len(found) == 2  # the reference's, and the policy's
    batch, parameters = trainer.seen[0]
    policy = trainer.accelerator.unwrap_model(trainer.model)
    policy.load_state_dict(parameters)
    states = [pooled(step, policy)]
    with policy.disable_adapter():
        states.append(pooled(step, policy))
    distance = [(wanted[:, None] - batch.columns["hidden"]).abs().amax(2).amin(1).max() for wanted in states]
    assert distance[0] < 1e-5 < 1e-3 < distance[1]


def test_what_is_logged(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, **RUN | {"max_steps": 3, "learning_rate": 0.0})
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert all(0 < entry["concord/learner/groups"] <= 1 for entry in log)
    assert all(entry["concord/learner/loss"] > 0 for entry in log)
    assert all(-0.5 <= entry["concord/add_contrastive/bonus"] < 0 for entry in log)


@pytest.mark.parametrize("base", ["grpo", "dapo", "gdpo", "gd2po"])
def test_any_method_composes(tmp_path: Path, base: str) -> None:
    rounds = 2 if base == "dapo" else 0
    args = CLIPO | {"base": base, "weights": {"brief": 0.5}}
    trainer = tiny.trainer(tmp_path, Watched, **RUN | {"method_args": args, "refill_rounds": rounds, "max_steps": 2})
    trainer.train()
    for batch, _ in trainer.seen:
        assert batch.columns["hidden"].shape == (16, 16)
        assert batch.columns["hidden"].isfinite().all()
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_while_it_warms_up_the_policy_stays_as_it_is(tmp_path: Path) -> None:
    args = CLIPO | {"warmup": 2}
    settings = {"method_args": args, "num_iterations": 2, "optim": "adamw_torch", "weight_decay": 0.5, "max_steps": 6}
    trainer = tiny.trainer(tmp_path, Watched, **RUN | settings)
    head = [parameter.detach().clone() for parameter in trainer._learning._learner.head.parameters()]
    steps = record(trainer)
    same = [all(torch.equal(s.parameters[n], p) for n, p in steps[0].parameters.items()) for s in steps]
    assert same == [True, True, True, True, True, False]  # two generations of two steps, then it moves
    assert len(trainer.seen) == 3
    moved = trainer._learning._learner.head.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(head, moved, strict=True))


def test_evaluation_teaches_nothing(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, options={"eval_dataset": tiny.prompts(4)}, **RUN)
    before = trainer._learning.state()
    found = trainer.evaluate()
    after = trainer._learning.state()
    assert before["steps"] == after["steps"] == 0
    assert all(torch.equal(after["tensors"][name], value) for name, value in before["tensors"].items())
    assert "eval_concord/learner/loss" in found


def test_it_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """In the middle of a generation batch, and within the warm-up."""
    ends = []
    for start in (None, 1, 5):
        trainer = tiny.trainer(
            tmp_path,
            **RUN | {"method_args": CLIPO | {"warmup": 1}, "num_iterations": 2, "optim": "adamw_torch"},
            max_steps=8,
            save_strategy="steps",
            save_steps=1,
        )
        trainer.train(resume_from_checkpoint=start and str(tmp_path / f"checkpoint-{start}"))
        tensors = trainer._learning.state()["tensors"]
        ends.append({**trainer.model.state_dict(), **{f"learner.{name}": value for name, value in tensors.items()}})
    for again in ends[1:]:
        assert all(torch.equal(again[name], value) for name, value in ends[0].items())


def test_what_does_not_fit_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"correct='eraly' names no reward; .*did you mean 'early'"):
        tiny.trainer(tmp_path, **RUN | {"method_args": {"correct": "eraly"}})
    with pytest.raises(ConfigError, match="say which reward tells that a rollout is correct"):
        tiny.trainer(tmp_path, **RUN | {"method_args": {}})
