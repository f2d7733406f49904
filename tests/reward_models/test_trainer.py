"""The trainer's gradient is that of the formula over the whole update, however the update is split."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from concord.core.durable import MANIFEST
from concord.core.errors import ConfigError, MissingColumn
from concord.functional.correlation import pearson
from concord.functional.mutual_information import club
from concord.learners.probe import Probe
from concord.reward_models.objective import CorrelationTerm, InformationTerm, Objective
from concord.reward_models.readout import last_tokens
from concord.reward_models.trainer import PENALTIES, RewardModelTrainer
from tests.reward_models import tiny

LENGTH = InformationTerm("length", weight=2.0, hidden=8, steps=3, learning_rate=1e-2)
BOTH = Objective((LENGTH, CorrelationTerm(0.5)))


def gradients(trainer: RewardModelTrainer) -> list[dict[str, Tensor]]:
    """Train; the gradient of every update, as the optimiser sees it."""
    found: list[dict[str, Tensor]] = []

    def keep(optimizer: Any, *_: Any) -> None:
        found.append({n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None})

    trainer.create_optimizer()
    trainer.optimizer.register_step_pre_hook(keep)
    trainer.train()
    return found


def by_hand(data: Any, order: list[int]) -> dict[str, Tensor]:
    """The formula, from a full forward pass over the update's pairs: states through the backbone itself."""
    model, batch = tiny.decoder(), data.select(order)
    margins, states = [], []
    for row in batch:
        sides = []
        for key in ("chosen_ids", "rejected_ids"):
            hidden = model.model(torch.tensor([row[key]])).last_hidden_state[0, -1]
            sides.append((hidden, model.score(hidden)[0]))
        states.append(sides[0][0] - sides[1][0])
        margins.append(sides[0][1] - sides[1][1])
    x, margin = torch.stack(states), torch.stack(margins)
    labels = torch.tensor(batch["bias/length"])
    probe = Probe(16, hidden=8, steps=3, learning_rate=1e-2, seed=3)
    probe.fit(x, labels)
    still = [parameter.detach() for parameter in probe.net.parameters()]
    logits = torch.relu(x @ still[0].T + still[1]) @ still[2].T + still[3]
    linear = pearson(margin, torch.tensor(batch["length_difference"])).square()
    loss = -logsigmoid(margin).mean() + 2.0 * club(logits, labels) + 0.5 * linear
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("size", "micro_batches"), [(8, 1), (4, 2), (1, 8)])
def test_the_gradient_is_the_formulas_however_the_update_is_split(
    tmp_path: Path, size: int, micro_batches: int
) -> None:
    data = tiny.rows(8)
    trainer = tiny.trainer(
        tmp_path, BOTH, data=data, per_device_train_batch_size=size, gradient_accumulation_steps=micro_batches,
        max_steps=1,
    )  # fmt: skip
    (found,), want = gradients(trainer), by_hand(data, list(range(8)))
    assert found.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_the_penalty_is_a_large_part_of_that_gradient(tmp_path: Path) -> None:
    data = tiny.rows(8)
    (plain,) = gradients(tiny.trainer(tmp_path, data=data, max_steps=1))
    want = by_hand(data, list(range(8)))
    gap = sum((want[name] - value).square().sum() for name, value in plain.items()) ** 0.5
    assert float(gap) > 0.5 * float(sum(value.square().sum() for value in plain.values()) ** 0.5)


def test_over_micro_batches_each_has_its_own_estimate(tmp_path: Path) -> None:
    """As the authors do; of a single pair it is exactly nothing, and the gradient plain Bradley-Terry's."""
    alone = Objective((LENGTH,), over="micro_batch")
    options = {"data": tiny.rows(8), "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "max_steps": 1}
    (found,) = gradients(tiny.trainer(tmp_path, alone, **options))
    (plain,) = gradients(tiny.trainer(tmp_path, **options))
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)
    options |= {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    (split,) = gradients(tiny.trainer(tmp_path, alone, **options))
    (whole,) = gradients(tiny.trainer(tmp_path, Objective((LENGTH,)), **options))
    assert any(float((split[name] - value).abs().max()) > 1e-3 for name, value in whole.items())


def test_the_logged_loss_is_the_formulas_value(tmp_path: Path) -> None:
    trainer = tiny.trainer(
        tmp_path, Objective((LENGTH,)), data=tiny.rows(8), per_device_train_batch_size=4, gradient_accumulation_steps=2,
        max_steps=1,
    )  # fmt: skip
    trainer.train()
    plain = tiny.trainer(tmp_path, data=tiny.rows(8), max_steps=1)
    plain.train()
    log, other = trainer.state.log_history[0], plain.state.log_history[0]
    assert log["loss"] == pytest.approx(other["loss"] + 2.0 * log["length/information"], abs=1e-4)
    assert log["length/probe_loss"] == pytest.approx(math.log(2), abs=0.3)


def test_without_terms_it_is_trls_trainer(tmp_path: Path) -> None:
    from trl import RewardTrainer

    data = tiny.rows(8)
    ours = tiny.trainer(tmp_path, data=data)
    theirs = RewardTrainer(model=tiny.decoder(), args=ours.args, train_dataset=data, processing_class=tiny.tokenizer())
    ours.train()
    theirs.train()
    for one, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("label", [0, 1, -1])
def test_labels_of_one_class_leave_bradley_terry(tmp_path: Path, label: int) -> None:
    data = tiny.rows(8, length=[label] * 8)
    with_term, without = tiny.trainer(tmp_path, Objective((LENGTH,)), data=data), tiny.trainer(tmp_path, data=data)
    with_term.train()
    without.train()
    for one, other in zip(with_term.model.parameters(), without.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(entry["length/information"] == 0 for entry in with_term.state.log_history[:-1])


def test_several_biases_have_a_label_a_probe_and_a_weight_each(tmp_path: Path) -> None:
    data = tiny.rows(16, length=[0, 1] * 8, mine=[0, 1, 2, -1] * 4)
    terms = (LENGTH, InformationTerm("mine", weight=0.0, classes=3, hidden=4, steps=1))
    trainer, single = (tiny.trainer(tmp_path, Objective(t), data=data) for t in (terms, terms[:1]))
    trainer.train()
    single.train()
    for one, other in zip(trainer.model.parameters(), single.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)  # of weight 0, the second is only watched
    log = trainer.state.log_history[0]
    assert log["mine/probe_loss"] == pytest.approx(math.log(3), abs=0.3)
    assert {"length/information", "mine/information"} <= log.keys()


@pytest.mark.parametrize("make", [tiny.decoder, tiny.encoder])
def test_the_states_are_what_the_reward_is_read_from(tmp_path: Path, make: Any) -> None:
    trainer = tiny.trainer(tmp_path, Objective((LENGTH,)), model=make())
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    pairs = trainer._look(batch)
    head = trainer.model.score if hasattr(trainer.model, "score") else trainer.model.classifier
    torch.testing.assert_close(pairs.states @ head.weight[0], pairs.margins)
    trainer.train()


def test_lora_trains_with_the_head(tmp_path: Path) -> None:
    from peft import LoraConfig

    lora = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "v_proj"])
    trainer = tiny.trainer(tmp_path, Objective((LENGTH,)), options={"peft_config": lora})
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert any("lora_B" in name for name in moved)
    assert any("score.modules_to_save" in name for name in moved)


def test_last_tokens_are_where_transformers_reads() -> None:
    model = tiny.decoder()
    ids = torch.tensor([[4, 5, 6, 0], [0, 4, 5, 0], [4, 0, 5, 6], [0, 0, 0, 0]])
    states = model.model(ids, attention_mask=(ids != 0).long()).last_hidden_state
    rewards = model(ids, attention_mask=(ids != 0).long()).logits
    torch.testing.assert_close(model.score(states[torch.arange(4), last_tokens(ids, 0)]), rewards)


def test_a_model_that_reads_elsewhere_is_refused(tmp_path: Path) -> None:
    class Shifted(type(tiny.decoder())):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            output.logits = output.logits + 5
            return output

    model = tiny.decoder()
    model.__class__ = Shifted
    with pytest.raises(ConfigError, match="not its head's output at the last token"):
        tiny.trainer(tmp_path, Objective((LENGTH,)), model=model).train()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingColumn, match="no column 'bias/mine'"):
        tiny.trainer(tmp_path, Objective((InformationTerm("mine"),)))


def test_a_resumed_run_ends_at_the_same_bits(tmp_path: Path) -> None:
    changes = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "optim": "adamw_torch", "data": tiny.rows(32)}
    whole = tiny.trainer(tmp_path, BOTH, **changes)
    whole.train()
    assert (tmp_path / "checkpoint-2" / PENALTIES).is_file()
    again = tiny.trainer(tmp_path, BOTH, model=tiny.decoder(seed=5), **changes)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    (tmp_path / "checkpoint-4" / PENALTIES).unlink()
    (tmp_path / "checkpoint-4" / MANIFEST).unlink()  # as of another trainer's
    with pytest.raises(ConfigError, match="holds no penalties"):
        tiny.trainer(tmp_path, BOTH, **changes).train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_evaluation_within_training_is_plain_bradley_terry(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, BOTH, options={"eval_dataset": tiny.rows(8, seed=1)})
    found = trainer.evaluate()
    assert 0 <= found["eval_accuracy"] <= 1
    assert math.isfinite(found["eval_loss"])
