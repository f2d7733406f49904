"""Preference losses in TRL's DPOTrainer: equal to TRL's own where it has them, and what it has not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer

from concord.core.durable import MANIFEST
from concord.core.errors import ConfigError, MissingColumn, RunFolderError
from concord.engines.trl.preference import LABELS, ConcordDPOConfig, ConcordDPOTrainer
from tests.engines import tiny
from tests.engines.preferences import options, ours, pairs, parameters, reference, theirs


def change(trainer: Any) -> float:
    return float(
        (parameters(trainer) - torch.cat([p.detach().flatten() for p in tiny.model().parameters()])).abs().max()
    )


@pytest.mark.parametrize(
    ("method", "method_args", "trl"),
    [
        ("dpo", {"beta": 0.5}, {"beta": 0.5, "gradient_accumulation_steps": 2, "max_steps": 2}),
        ("ipo", {"beta": 0.3}, {"loss_type": "ipo", "beta": 0.3}),
        ("rpo_tokens", {"coef": 0.7}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]}),
        # With one pair a batch TRL's aot sorts nothing, and is conservative DPO.
        ("cdpo", {"eps": 0.2}, {"loss_type": "aot", "label_smoothing": 0.2, "per_device_train_batch_size": 1}),
    ],
)
def test_a_run_ends_where_trls_own_ends(
    method: str, method_args: dict[str, Any], trl: dict[str, Any], tmp_path: Path
) -> None:
    own = theirs(tmp_path / "trl", **trl)
    own.train()
    replaced = {"loss_type", "loss_weights", "label_smoothing", "beta"}
    shared = {key: value for key, value in trl.items() if key not in replaced}
    concord = ours(tmp_path / "concord", method=method, method_args=method_args, **shared)
    concord.train()
    assert change(own) > 1e-3
    torch.testing.assert_close(parameters(concord), parameters(own), rtol=0, atol=1e-6)
    for one, other in zip(own.state.log_history[:-1], concord.state.log_history[:-1], strict=True):
        for key, value in one.items():
            assert other[key] == pytest.approx(value, rel=1e-5, abs=1e-6), key


def first_loss(trainer: Any) -> torch.Tensor:
    """Of the first four rows, in their order."""
    data = trainer.train_dataset
    batch = trainer.data_collator([data[i] for i in range(4)])
    return trainer.compute_loss(trainer.model, batch)


def test_trls_robust_loss_follows_from_dpo_and_its_conservative_form(tmp_path: Path) -> None:
    eps = 0.2
    robust = first_loss(theirs(tmp_path, loss_type="robust", label_smoothing=eps))
    dpo, cdpo = (
        first_loss(ours(tmp_path, method=method, method_args=args))
        for method, args in (("dpo", {}), ("cdpo", {"eps": eps}))
    )
    turned = (cdpo - (1 - eps) * dpo) / eps
    torch.testing.assert_close(((1 - eps) * dpo - eps * turned) / (1 - 2 * eps), robust, rtol=0, atol=1e-6)


def test_precomputed_references_are_the_same_run(tmp_path: Path) -> None:
    scores = {"chosen_reward": [0.1 * i for i in range(12)], "rejected_reward": [0.3] * 12}
    runs = []
    for precompute in (False, True):
        run = ours(
            tmp_path, method="dno", precompute_ref_log_probs=precompute, data=pairs(**scores),
            eval_dataset=pairs(4, chosen_reward=[0.5] * 4, rejected_reward=[0.2] * 4),
        )  # fmt: skip
        run.train()
        runs.append(run)
    torch.testing.assert_close(*(parameters(run) for run in runs), rtol=0, atol=1e-6)
    assert runs[0].evaluate()["eval_loss"] == pytest.approx(runs[1].evaluate()["eval_loss"], abs=1e-6)


def test_an_adapter_has_its_base_model_as_reference(tmp_path: Path) -> None:
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    runs = []
    for trainer, config in ((DPOTrainer, DPOConfig), (ConcordDPOTrainer, ConcordDPOConfig)):
        args = config(**options(tmp_path, max_steps=2))
        run = trainer(
            tiny.model(), None, args, train_dataset=pairs(), processing_class=tiny.tokenizer(), peft_config=lora
        )
        run.train()
        runs.append(run)
    torch.testing.assert_close(*(parameters(run) for run in runs), rtol=0, atol=1e-6)
    assert runs[1].state.log_history[0]["loss"] != pytest.approx(math.log(2), abs=1e-4)


# ---- By hand ----


def summed(model: Any, prompt: str, response: str) -> tuple[float, int]:
    """The log-probability of a response and its end, and the tokens that it has."""
    words = tiny.tokenizer()
    start, whole = (words(text)["input_ids"] for text in (prompt, f"{prompt}{response}<eos>"))
    with torch.no_grad():
        logp = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    steps = range(len(start), len(whole))
    return math.fsum(logp[t - 1, whole[t]].item() for t in steps), len(steps)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def power_margins(model: Any, data: Dataset, beta: float = 2.0) -> list[float]:
    margins = []
    for row in data:
        (p, n), (q, m) = (summed(model, row["prompt"], row[side]) for side in ("chosen", "rejected"))
        margins.append(beta * ((p + 1) / n - (q + 1) / m))
    return margins


POWER = {"method": "power_dl", "method_args": {"gamma": 0.25}}


def test_each_pair_finds_its_own_label_again(tmp_path: Path) -> None:
    """Nothing is learnt, so the labels of three epochs go to the policy's probabilities at their rate."""
    run = ours(tmp_path, **POWER, learning_rate=0.0, max_steps=9, gradient_accumulation_steps=1)
    run.train()
    targets = [sigmoid(margin) for margin in power_margins(tiny.model(), pairs())]
    expected = [target + 0.75**3 * (1 - target) for target in targets]
    assert run._labels is not None
    torch.testing.assert_close(run._labels, torch.tensor(expected), rtol=0, atol=1e-5)
    logged = [log["concord/objective/label"] for log in run.state.log_history[:3]]
    assert sum(logged) / 3 == pytest.approx(sum(t + 0.75 * (1 - t) for t in targets) / 12, abs=1e-5)


def test_a_method_without_a_reference_does_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = reference()
    run = ours(tmp_path, **POWER, max_steps=3, ref_model=ref)
    monkeypatch.setattr(ref, "forward", None)
    run.train()
    assert run.ref_model is None
    assert not any(key.startswith("rewards/") for key in run.state.log_history[0])
    rows = pairs().select(range(4))
    fresh = ours(tmp_path, **POWER, data=rows)
    margins, nll = power_margins(tiny.model(), rows), [summed(tiny.model(), r["prompt"], r["chosen"]) for r in rows]
    expected = sum(-math.log(sigmoid(x)) - 0.1 * 2.0 * p / n for x, (p, n) in zip(margins, nll, strict=True)) / 4
    assert first_loss(fresh).item() == pytest.approx(expected, abs=1e-5)


def test_evaluation_leaves_the_labels_alone(tmp_path: Path) -> None:
    held = pairs(4)
    run = ours(tmp_path, **POWER, max_steps=3, eval_dataset=held)
    run.train()
    before = run._labels.clone()
    loss = run.evaluate()["eval_loss"]
    assert torch.equal(run._labels, before)
    nll = [summed(run.model, row["prompt"], row["chosen"]) for row in held]
    margins = power_margins(run.model, held)
    expected = sum(-math.log(sigmoid(x)) - 0.1 * 2.0 * p / n for x, (p, n) in zip(margins, nll, strict=True)) / 4
    assert loss == pytest.approx(expected, abs=1e-5)


def test_a_run_that_was_resumed_ends_with_the_bits_of_one_that_was_not(tmp_path: Path) -> None:
    shape = {**POWER, "max_steps": 7, "save_strategy": "steps", "save_steps": 4}
    whole = ours(tmp_path / "whole", **shape)
    whole.train()
    checkpoint = tmp_path / "whole" / "checkpoint-4"
    again = ours(tmp_path / "again", **shape)
    again.train(resume_from_checkpoint=str(checkpoint))
    assert torch.equal(parameters(again), parameters(whole))
    assert torch.equal(again._labels, whole._labels)
    assert not torch.equal(again._labels, torch.ones(12))

    with pytest.raises(ConfigError, match="holds labels of 12 pairs, the training data has 8"):
        ours(tmp_path / "less", **shape, data=pairs(8)).train(resume_from_checkpoint=str(checkpoint))
    (checkpoint / LABELS).unlink()
    with pytest.raises(RunFolderError, match=f"checkpoint-4 is damaged: {LABELS} is missing; resume from another"):
        ours(tmp_path / "none", **shape).train(resume_from_checkpoint=str(checkpoint))
    (checkpoint / MANIFEST).unlink()  # now it is somebody else's checkpoint
    with pytest.raises(ConfigError, match=f"holds no {LABELS}; it was not written by method 'power_dl'"):
        ours(tmp_path / "none", **shape).train(resume_from_checkpoint=str(checkpoint))


def test_a_teachers_rewards_come_from_the_data_and_may_be_missing(tmp_path: Path) -> None:
    chosen, rejected = [0.9, None, 0.4, 0.8], [0.1, 0.5, 0.6, 0.2]
    rows = pairs(4, chosen_reward=chosen, rejected_reward=rejected)
    expected = 0.0
    for row in rows:
        if row["chosen_reward"] is None:
            continue
        ratios = [
            summed(tiny.model(), row["prompt"], row[side])[0] - summed(reference(), row["prompt"], row[side])[0]
            for side in ("chosen", "rejected")
        ]
        margin, label = 0.1 * (ratios[0] - ratios[1]), sigmoid(row["chosen_reward"] - row["rejected_reward"])
        expected -= label * math.log(sigmoid(margin)) + (1 - label) * math.log(sigmoid(-margin))
    assert first_loss(ours(tmp_path, method="dno", data=rows)).item() == pytest.approx(expected / 4, abs=1e-5)


@pytest.mark.parametrize("form", ["text", "with rejected"])
def test_demonstrations_need_no_rejected_response(form: str, tmp_path: Path) -> None:
    rows = pairs(4)
    data = rows.remove_columns("rejected") if form == "text" else rows
    rises = []
    for row in rows:
        (p, n), (q, _) = (summed(model, row["prompt"], row["chosen"]) for model in (tiny.model(), reference()))
        rises.append((p - q) / n)
    expected = sum(r * r / 4 - r for r in rises) / 4
    run = ours(tmp_path, method="sft_chi_squared", data=data)
    assert first_loss(run).item() == pytest.approx(expected, abs=1e-5)
    assert not any(key.startswith("rewards/") for key in run._metrics["train"])


def test_demonstrations_may_be_messages() -> None:
    from concord.engines.trl.preference import _with_nothing_rejected

    answer = {"role": "assistant", "content": "Yes."}
    assert _with_nothing_rejected({"chosen": [answer]}) == {"rejected": [{"role": "assistant", "content": ""}]}


# ---- What does not fit ----


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loss_type": "ipo"}, "loss_type=.*would have no effect: the method brings its own loss"),
        ({"label_smoothing": 0.1}, "label_smoothing=0.1 would have no effect: method='cdpo'"),
        ({"use_weighting": True}, "use_weighting=True would have no effect"),
        ({"method": "grpo"}, "'grpo' is not a preference loss but of the kind 'advantage'"),
        ({"method": "rto"}, "'rto' is not a preference loss but of the kind 'reward'"),
        ({"method_args": {"bta": 0.1}}, "method 'dpo' has no parameter 'bta'; did you mean 'beta'"),
        ({"method_args": [0.1]}, r"method_args must be a mapping, got \[0.1\]"),
        ({"beta": 0.2, "method_args": {"beta": 0.1}}, "beta is given twice: 0.2, and 0.1 in method_args"),
        (
            {"method": "power_dl", "sync_ref_model": True},
            "sync_ref_model would have no effect: method 'power_dl' reads",
        ),
        ({"method": "power_dl", "precompute_ref_log_probs": True}, "precompute_ref_log_probs would have no effect"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        ConcordDPOConfig(**options(tmp_path, **changes))


def test_beta_is_the_methods_own_from_either_place(tmp_path: Path) -> None:
    assert ConcordDPOConfig(**options(tmp_path, method="rpo")).beta == 0.01
    assert ConcordDPOConfig(**options(tmp_path, method="rpo", beta=0.05)).build().loss.beta == 0.05
    assert ConcordDPOConfig(**options(tmp_path, method="rpo", method_args={"beta": 0.05})).beta == 0.05


def test_data_that_do_not_fit_are_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(
        MissingColumn, match=r"reads columns \['chosen_reward', 'rejected_reward'\]; the train data has"
    ):
        ours(tmp_path, method="dno")
    scored = pairs(chosen_reward=[0.5] * 12, rejected_reward=[0.2] * 12)
    with pytest.raises(MissingColumn, match=r"reads columns \['chosen_reward'.*the eval data has"):
        ours(tmp_path, method="dno", data=scored, eval_dataset=pairs(4))
    with pytest.raises(MissingColumn, match=r"the train data lacks \['prompt'\]"):
        ours(tmp_path, method="sft_hellinger", data=pairs().remove_columns(["prompt", "rejected"]))
    with pytest.raises(ConfigError, match="remembers a label for each pair: indexed text data only"):
        ours(tmp_path, method="power_dl", data=pairs().to_iterable_dataset())
    with pytest.raises(ConfigError, match="args must be a ConcordDPOConfig, got DPOConfig; change its import too"):
        ConcordDPOTrainer(tiny.model(), reference(), DPOConfig(**options(tmp_path)), train_dataset=pairs())
