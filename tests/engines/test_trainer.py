"""What a user of TRL meets: advantages, logs, evaluation, penalties, adapters, dumps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import IterableDataset
from peft import LoraConfig, get_peft_model
from transformers import HfArgumentParser

from concord import Groups, Rollouts, create
from concord.engines.trl import ConcordConfig, ConcordTrainer
from concord.rewards import NamedReward
from tests.engines import tiny
from tests.engines.gradients import Loss, assert_gradients, assert_table, expected, mean_kl, record


def signal(table: dict[str, Any], size: int = 4, **parameters: Any) -> list[float]:
    """The advantages of the logged completions, from the rewards asked again."""
    completions = list(table["completion"])
    scores = torch.tensor([reward(completions) for reward in tiny.REWARDS]).T
    batch = Rollouts(scores, Groups.uniform(len(scores) // size, size), ("early", "brief", "varied"))
    advantages: list[float] = create("gd2po", numerics="trl", **parameters).signal(batch).advantages.tolist()
    return advantages


@pytest.mark.parametrize("where", ["method_args", "reward_weights"])
def test_the_advantages_are_the_methods(tmp_path: Path, where: str) -> None:
    """In TRL's log, and in the batch trained on; weighed by name, wherever the weights are given."""
    weights = {"early": 0.5, "brief": 2.0, "varied": 1.0}
    given: dict[str, Any] = {"method_args": {"tau": 0.5, "numerics": "trl"}}
    if where == "method_args":
        given["method_args"]["weights"] = weights
    else:
        given["reward_weights"] = list(weights.values())
    trainer = tiny.trainer(tmp_path, max_steps=3, **given)
    steps = record(trainer)
    wanted = signal(trainer._logs, tau=0.5, weights=weights)
    assert list(trainer._logs["advantages"]) == pytest.approx(wanted, abs=1e-6)
    assert any(wanted)
    assert_table(steps)
    total = sum(weights[name] * sum(scores) for name, scores in trainer._logs["rewards"].items())
    assert trainer.state.log_history[2]["reward"] == pytest.approx(total / 16)


def test_every_metric_is_logged(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path)
    trainer.train()
    entry = trainer.state.log_history[0]
    assert entry["concord/kept"] == 1 - entry["concord/mask_conflicts/dropped"]
    assert entry["concord/computed"] <= entry["concord/kept"]
    assert entry["concord/objective/ratio"] == 1
    assert entry["concord/objective/clipped"] == 0
    assert 0 < entry["concord/mask_conflicts/cancelled"] < 1
    assert 0 < entry["entropy"] <= math.log(len(tiny.WORDS))
    assert {"concord/whiten/gain", "concord/empty_groups", "concord/reweight_groups/mean"} <= entry.keys()


def test_metrics_add_up_over_micro_batches(tmp_path: Path) -> None:
    """Sixteen micro-batches of one row, most of them with nothing to compute: sums first, then one division."""
    entries = []
    for cut in ({}, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16}):
        trainer = tiny.trainer(tmp_path, max_steps=1, **cut)
        trainer.train()
        entries.append(trainer.state.log_history[0])
    whole, pieces = entries
    assert 0 < whole["concord/computed"] < 1
    for name in ("concord/computed", "concord/objective/ratio", "entropy"):
        assert pieces[name] == pytest.approx(whole[name], abs=1e-6)


def test_log_completions_holds_our_advantages(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, max_steps=1, log_completions=True, num_completions_to_print=1)
    trainer.train()
    (file,) = (tmp_path / "completions").glob("*.parquet")
    frame = pd.read_parquet(file)
    assert frame["advantage"].tolist() == list(trainer._logs["advantages"])
    assert (frame["advantage"] == 0).sum() >= 16 * (1 - trainer.state.log_history[0]["concord/kept"])


def test_the_dump(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path / "run", max_steps=4, num_iterations=2, dump=str(tmp_path / "dump"))
    trainer.train()
    files = sorted((tmp_path / "dump").iterdir())
    assert [file.name for file in files] == ["rollouts_00000000.parquet", "rollouts_00000002.parquet"]
    frame = pd.read_parquet(files[-1])
    assert frame["run"].unique().tolist() == ["run"]
    assert frame["completion"].tolist() == list(trainer._logs["completion"])
    assert frame["advantage"].tolist() == pytest.approx(list(trainer._logs["advantages"]))
    assert frame["group"].tolist() == [p for p in range(4) for _ in range(4)]
    words = frame["completion"].str.split().str.len()  # the end, and padding that was sampled, are not in the text
    assert ((frame["length"] > words) | (frame["truncated"] & (frame["length"] >= words))).all()
    assert (frame["length"][frame["truncated"]] == 8).all()
    assert frame["truncated"].any()
    assert not frame["truncated"].all()


def test_the_dump_of_conversations(tmp_path: Path) -> None:
    words = tiny.tokenizer()
    words.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    data = tiny.prompts().map(lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]})

    def wordy(completions: list[list[dict[str, str]]], **_: Any) -> list[float]:
        return [float(len(messages[0]["content"])) for messages in completions]

    trainer = tiny.trainer(
        tmp_path,
        data=data,
        rewards=[wordy],
        max_steps=1,
        dump=str(tmp_path / "dump"),
        options={"processing_class": words},
    )
    trainer.train()
    frame = pd.read_parquet(tmp_path / "dump" / "rollouts_00000000.parquet")
    asked = {messages[0]["content"] for messages in data["prompt"]}
    assert set(frame["prompt"]) <= asked  # the words, without the messages around them
    assert frame["completion"].str.len().tolist() == frame["reward/wordy"].tolist()


def test_the_model_card_cites_the_method(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path)
    trainer.create_model_card()
    card = (tmp_path / "README.md").read_text()
    assert "2606.16771" in card
    assert "DeepSeekMath" not in card


def test_a_stream_of_prompts(tmp_path: Path) -> None:
    stream = IterableDataset.from_generator(lambda: iter(tiny.prompts(8)))
    steps = record(tiny.trainer(tmp_path, data=stream, max_steps=3))
    assert_gradients(steps, expected(steps, Loss()))


def test_arguments_from_a_command_line(tmp_path: Path) -> None:
    """TRL's scripts parse their config with transformers' parser."""
    given = ["--output_dir", str(tmp_path), "--method", "gdpo", "--method_args", '{"clip": 0.1}', "--dump", "there"]
    (parsed,) = HfArgumentParser(ConcordConfig).parse_args_into_dataclasses([*given, "--refill_rounds", "2"])
    assert (parsed.method, parsed.method_args, parsed.dump, parsed.refill_rounds) == ("gdpo", {"clip": 0.1}, "there", 2)


# ---- Missing scores ----


def test_what_did_not_score_takes_no_part(tmp_path: Path) -> None:
    """A missing score is None, or NaN and infinity where the reward says so; a row without any is not trained on."""

    def patchy(completions: list[str], **_: Any) -> list[float | None]:
        odd = [None, math.nan, math.inf]
        return [odd[i % 3] if i % 4 == 0 else float(len(text)) for i, text in enumerate(completions)]

    def rare(completions: list[str], **_: Any) -> list[float | None]:
        return [None if i % 8 == 0 else 1.0 - len(text) for i, text in enumerate(completions)]

    trainer = tiny.trainer(
        tmp_path, rewards=[NamedReward("patchy", patchy, on_error="abstain"), rare], method="gdpo", max_steps=1
    )
    (step,) = record(trainer)
    entry = trainer.state.log_history[0]
    advantages = list(trainer._logs["advantages"])
    assert all(math.isfinite(a) for a in advantages)
    assert [advantages[i] for i in (0, 8)] == [0.0, 0.0]
    assert int((~step.batches[0]["keep"]).sum()) == 2
    assert entry["concord/kept"] == 14 / 16
    assert entry["rewards/patchy/abstained"] == 2 / 16
    assert entry["rewards/patchy/invalid"] == 2 / 16
    assert all(math.isfinite(value) for value in entry.values())
    assert_gradients([step], expected([step], Loss()))


def test_nobody_scores(tmp_path: Path) -> None:
    def silent(completions: list[str], **_: Any) -> list[None]:
        return [None] * len(completions)

    trainer = tiny.trainer(tmp_path, rewards=[silent], max_steps=1)
    (step,) = record(trainer)
    assert all((value == 0).all() for value in step.gradient.values())
    entry = trainer.state.log_history[0]
    assert (entry["concord/kept"], entry["concord/empty_groups"], entry["concord/computed"]) == (0, 1, 0)


def test_the_shares_of_a_step_are_those_of_its_rollouts(tmp_path: Path) -> None:
    """Hard masking of two rewards, of which one is unanimous in the second group."""

    def sign(completions: list[str], **_: Any) -> list[float]:
        return [float(i % 2) for i in range(len(completions))]

    def other(completions: list[str], **_: Any) -> list[float]:
        ways = [[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1]]
        return [float(score) for group in ways for score in group]

    trainer = tiny.trainer(tmp_path, rewards=[sign, other], method="gd2po_hard", method_args={}, max_steps=1)
    trainer.train()
    entry = trainer.state.log_history[0]
    # Opposed in the first group whole, in the third by half.
    assert entry["concord/kept"] == entry["concord/computed"] == 10 / 16
    assert entry["concord/empty_groups"] == 1 / 4
    assert entry["concord/conflict/mixed"] == 6 / 16
    assert entry["concord/reweight_groups/mean"] == pytest.approx((0 + 1 + 0.5 + 1) / 4)
    assert entry["concord/reweight_groups/min"] == 0
    # Of signal 2 a rollout where both speak, 1 in the second group: 6 rollouts cancel.
    assert entry["concord/conflict/cancelled"] == pytest.approx(12 / 28, abs=1e-5)


# ---- Evaluation ----


class Watched(ConcordTrainer):
    """Keeps what was generated last."""

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self.last = super()._generate_and_score_completions(inputs)
        return self.last


def test_evaluation(tmp_path: Path) -> None:
    """The same chain and loss on the evaluation prompts; nothing of the training moves."""
    trainer = tiny.trainer(
        tmp_path, Watched, max_steps=1, method="rloo", per_device_eval_batch_size=16,
        options={"eval_dataset": tiny.prompts(4)},
    )  # fmt: skip
    trainer.train()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    held = trainer._buffered_inputs
    metrics = trainer.evaluate()
    lengths, advantages = trainer.last["completion_mask"].sum(1), trainer.last["advantages"]
    # On policy every ratio is 1, and the loss minus the mean advantage of a token.
    assert metrics["eval_loss"] == pytest.approx(float(-(advantages * lengths).sum() / lengths.sum()), abs=1e-6)
    assert abs(metrics["eval_loss"]) > 1e-3
    logged = trainer.state.log_history[-1]
    assert {"eval_concord/kept", "eval_concord/objective/ratio", "eval_rewards/early/mean"} <= logged.keys()
    assert trainer._buffered_inputs is held
    assert len(trainer._logs["advantages"]) == len(trainer._logs["prompt"])
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())


def test_evaluation_on_groups_of_one(tmp_path: Path) -> None:
    """Nothing to compare with: no advantage, a loss of 0, and no NaN anywhere."""
    trainer = tiny.trainer(tmp_path, num_generations_eval=1, options={"eval_dataset": tiny.prompts(4)})
    metrics = trainer.evaluate()
    assert list(trainer._logs["advantages"]) == [0.0] * 4
    assert metrics["eval_loss"] == 0
    assert 0 <= trainer.state.log_history[-1]["eval_rewards/early/mean"] <= 1


# ---- Penalties, adapters, precision ----


def test_beta_is_a_penalty_against_trls_reference(tmp_path: Path) -> None:
    """On kept rows alone; micro-batches of one row, so that some hold none. At first the policy is the reference."""
    cut = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "steps_per_generation": 16}
    trainer = tiny.trainer(tmp_path, max_steps=4, beta=0.5, model=tiny.saved_model(tmp_path / "base"), **cut)
    steps = record(trainer)
    reference = tiny.model().state_dict()
    assert_gradients(steps, expected(steps, Loss(beta=0.5, reference=reference)))
    with pytest.raises(AssertionError, match=r"step [1-3]"):
        assert_gradients(steps, expected(steps, Loss()))
    measured = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert measured == pytest.approx([mean_kl(step, reference) for step in steps], rel=1e-3, abs=1e-7)
    assert measured[-1] > 1e-5


def test_with_a_penalty_silent_rows_are_computed(tmp_path: Path) -> None:
    """A kept row without advantage is still held to the reference; a dropped one is not."""

    def same(completions: list[str], **_: Any) -> list[float]:
        return [0.7] * len(completions)

    trainer = tiny.trainer(tmp_path, rewards=[same], beta=0.5, max_steps=1, model=tiny.saved_model(tmp_path / "base"))
    trainer.train()
    assert trainer.state.log_history[0]["concord/computed"] == 1


LORA = {"r": 2, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False}


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_lora(tmp_path: Path, beta: float) -> None:
    """Gradients of the adapter alone; with a penalty, the reference is the model without it."""

    def build() -> Any:
        return get_peft_model(tiny.model(), LoraConfig(task_type="CAUSAL_LM", **LORA))

    trainer = tiny.trainer(
        tmp_path,
        beta=beta,
        max_steps=3,
        num_iterations=2,
        options={"peft_config": LoraConfig(task_type="CAUSAL_LM", **LORA)},
    )
    steps = record(trainer)
    without = {n: torch.zeros_like(v) if "lora_B" in n else v for n, v in steps[0].parameters.items()}
    loss = Loss(build=build, beta=beta, reference=without if beta else None)
    assert all("lora" in name for name in steps[0].gradient)
    assert_gradients(steps, expected(steps, loss))


def test_bf16_is_off_without_an_accelerator(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path)
    assert trainer.args.bf16 is False
    assert trainer.accelerator.mixed_precision == "no"
    assert tiny.config(tmp_path, bf16=True).bf16 is True


def test_experts_are_balanced_over_the_rows_computed(tmp_path: Path) -> None:
    """The router's own loss joins as in TRL, on the rows that went through the pass."""
    from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

    def build() -> Any:
        torch.manual_seed(0)
        return Qwen2MoeForCausalLM(
            Qwen2MoeConfig(
                vocab_size=len(tiny.WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                num_key_value_heads=1, max_position_embeddings=64, initializer_range=0.2, eos_token_id=1,
                moe_intermediate_size=16, shared_expert_intermediate_size=16, num_experts=4, num_experts_per_tok=2,
                router_aux_loss_coef=0.0, bos_token_id=None, pad_token_id=0,
            )
        )  # fmt: skip

    balanced = record(tiny.trainer(tmp_path, model=build(), max_steps=1, router_aux_loss_coef=0.5))
    plain = record(tiny.trainer(tmp_path, model=build(), max_steps=1, router_aux_loss_coef=0.0))
    (batch,) = balanced[0].batches
    rows = batch["keep"] & (batch["advantages"] != 0)
    model = build()
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)[rows]
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)[rows]
    used = mask.any(0)
    model(input_ids=ids[:, used], attention_mask=mask[:, used], output_router_logits=True).aux_loss.backward()
    own = {name: 0.5 * p.grad for name, p in model.named_parameters() if p.grad is not None}
    wanted = {name: value + own.get(name, 0) for name, value in plain[0].gradient.items()}
    assert_gradients(balanced, [wanted])


# ---- What TRL adds to a batch ----


def test_tokens_of_the_environment_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        size = torch.randint(3, 8, (len(prompts),)).tolist()
        ids = [torch.randint(2, len(tiny.WORDS), (n,)).tolist() for n in size]
        return {
            "prompt_ids": trainer.processing_class(text=prompts)["input_ids"],
            "completion_ids": ids,
            "logprobs": [[0.0] * len(row) for row in ids],
            "env_mask": [[1, 0] + [1] * (len(row) - 2) for row in ids],
        }

    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "num_iterations": 2}
    trainer = tiny.trainer(tmp_path, max_steps=4, options={"rollout_func": rollout}, **cut)
    steps = record(trainer)
    assert all("tool_mask" in batch for batch in steps[0].batches)
    assert_gradients(steps, expected(steps, Loss()))


@pytest.mark.parametrize("shape", ["response", "token"])
def test_samplers_probabilities_are_corrected_for(tmp_path: Path, shape: str) -> None:
    """vLLM's importance weights, which TRL hands over per token or per response, multiply the surrogate."""

    class Weighted(ConcordTrainer):
        weight = 1.0

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            output = super()._generate_and_score_completions(inputs)
            like = output["completion_mask"].float()
            ratio = torch.full_like(like if shape == "token" else like[:, :1], self.weight)
            return output | {"importance_sampling_ratio": ratio}

    class Doubled(Weighted):
        weight = 2.0

    once, twice = (record(tiny.trainer(tmp_path, cls, max_steps=1)) for cls in (Weighted, Doubled))
    assert_gradients(twice, [{name: 2 * value for name, value in once[0].gradient.items()}])
