"""Rewards that fail, are scheduled or gated, in real training runs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from concord.core.errors import ConfigError, DuplicateName, RewardError
from concord.rewards import Limits, Linear, NamedReward, RewardSet, Source, Steps
from tests.engines import flaky, tiny

STEPS = 2
OTHERS = ["early", "brief"]
METRICS = ["mean", "std", "abstained", "failed", "timed_out", "invalid"]


def run(folder: Path, reward: NamedReward, **changes: Any) -> tuple[list[dict[str, float]], pd.DataFrame]:
    """Train with two sound rewards and this one; the log, and the dump."""
    rewards = [tiny.early, tiny.brief, reward]
    trainer = tiny.trainer(folder, rewards=rewards, max_steps=STEPS, dump=str(folder / "dump"), **changes)
    trainer.train()
    for parameter in trainer.model.parameters():
        assert parameter.isfinite().all()
    frame = pd.concat([pd.read_parquet(file) for file in sorted((folder / "dump").iterdir())])
    return [entry for entry in trainer.state.log_history if "reward" in entry], frame


def injected(how: str, rate: float, **settings: Any) -> NamedReward:
    slow = how == "timed out"
    function = flaky.compute_score_async if slow else flaky.compute_score
    limits = Limits(timeout=0.5) if slow else Limits()
    source = Source(function, options={"rate": rate, "how": how}, limits=limits)
    return NamedReward("flaky", source, **{"on_error": "abstain", **settings})


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, float]], pd.DataFrame]:
    return run(tmp_path_factory.mktemp("sound"), injected("failed", 0.0))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("how", ["failed", "timed out", "invalid", "abstained"])
def test_a_run_goes_on_and_tells_the_truth(
    how: str, rate: float, tmp_path: Path, sound: tuple[list[dict[str, float]], pd.DataFrame]
) -> None:
    log, frame = run(tmp_path, injected(how, rate))
    assert len(log) == STEPS
    assert frame["advantage"].notna().all()
    texts = frame["completion"].tolist()
    struck = [flaky.chosen(text, rate) for text in texts]
    assert frame["status/flaky"].tolist() == [how if hit else "scored" for hit in struck]
    assert frame["reward/flaky"].isna().tolist() == struck
    there = [flaky.good(text) for text, hit in zip(texts, struck, strict=True) if not hit]
    assert frame["reward/flaky"].dropna().tolist() == there
    share = log[0][f"rewards/flaky/{how.replace(' ', '_')}"]
    assert share == pytest.approx(sum(struck[: len(struck) // STEPS]) / (len(struck) / STEPS))
    # The first step's rollouts are those of the sound run, and the other rewards' figures too.
    for name in OTHERS:
        assert [log[0][f"rewards/{name}/{metric}"] for metric in METRICS] == [
            sound[0][0][f"rewards/{name}/{metric}"] for metric in METRICS
        ]
        first = len(frame) // STEPS
        assert frame[f"reward/{name}"][:first].tolist() == sound[1][f"reward/{name}"][:first].tolist()
        assert (frame[f"status/{name}"] == "scored").all()


@pytest.mark.parametrize(("policy", "counts"), [("zero", 0.0), ("worst", -2.0)])
def test_what_counts_instead_is_trained_on_and_its_status_is_kept(policy: str, counts: float, tmp_path: Path) -> None:
    _, frame = run(tmp_path, injected("failed", 0.5, on_error=policy, clamp=(-2.0, 9.0)))
    struck = frame["status/flaky"] == "failed"
    assert 0 < struck.sum() < len(frame)
    assert (frame["reward/flaky"][struck] == counts).all()


def test_a_policy_that_raises_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"reward 'flaky': \d+ of 16 scores failed; the first: RuntimeError: cannot"):
        run(tmp_path, injected("failed", 0.5, on_error="raise"))


def test_the_circuit_breaker(tmp_path: Path) -> None:
    with pytest.raises(
        RewardError, match=r"which is at least its max_failed of 0.2; the first: RuntimeError: cannot score"
    ):
        run(tmp_path / "often", injected("failed", 0.5, max_failed=0.2))
    run(tmp_path / "abstains", injected("abstained", 1.0, max_failed=0.2))


def test_a_function_that_hangs_is_killed(tmp_path: Path) -> None:
    source = Source(
        flaky.compute_score, options={"rate": 0.04, "how": "timed out"}, limits=Limits(timeout=1, workers=2)
    )
    _, frame = run(tmp_path, NamedReward("flaky", source, on_error="abstain"))
    assert frame["status/flaky"].tolist() == [
        "timed out" if flaky.chosen(text, 0.04) else "scored" for text in frame["completion"]
    ]
    assert "timed out" in set(frame["status/flaky"])


def test_what_was_lost_is_said_at_the_end_and_an_evaluation_still_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = Source(flaky.compute_score, options={"rate": 0.5, "how": "failed"}, limits=Limits(timeout=60))
    reward = NamedReward("flaky", source, on_error="abstain")
    trainer = tiny.trainer(
        tmp_path, rewards=[tiny.early, reward], max_steps=1, options={"eval_dataset": tiny.prompts()}
    )
    trainer.train()
    said = re.findall(
        r"reward 'flaky': (\d+) of 16 scores were lost: \1 failed \(RuntimeError\)", capfd.readouterr().err
    )
    assert len(said) == 1
    trainer.evaluate()
    lost = re.findall(r"reward 'flaky': (\d+) of \d+ scores were lost", capfd.readouterr().err)
    assert len(lost) == 1
    assert int(lost[0]) > int(said[0])


def test_a_set_that_was_given_is_its_makers_to_close(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rewards = RewardSet([injected("failed", 0.5)])
    tiny.trainer(tmp_path, rewards=rewards, max_steps=1).train()
    assert "were lost" not in capfd.readouterr().err
    rewards.close()
    assert "of 16 scores were lost" in capfd.readouterr().err


def test_the_weight_in_force_is_logged_dumped_and_used(tmp_path: Path) -> None:
    log, frame = run(tmp_path / "linear", NamedReward("varied", tiny.varied, Linear(0.0, 1.0, steps=2)))
    assert [entry["concord/weight/varied"] for entry in log] == [0.0, 0.5]
    assert [entry["concord/weight/early"] for entry in log] == [1.0, 1.0]
    assert frame.groupby("step")["weight/varied"].agg(["min", "max"]).to_numpy().tolist() == [[0.0, 0.0], [0.5, 0.5]]
    _, zero = run(tmp_path / "zero", NamedReward("varied", tiny.varied, 0.0))
    _, stepped = run(tmp_path / "steps", NamedReward("varied", tiny.varied, Steps({0: 0.0, 1: 0.5})))
    first = len(frame) // 2
    assert frame["advantage"][:first].tolist() == zero["advantage"][:first].tolist()
    assert frame["advantage"].tolist() == stepped["advantage"].tolist()
    assert frame["advantage"][first:].tolist() != zero["advantage"][first:].tolist()


def conflict(frame: pd.DataFrame, weights: dict[str, float], size: int = 4) -> tuple[float, float]:
    """The shares of mixed sign and cancelled, from the dumped scores of one step."""
    scores = frame[[f"reward/{name}" for name in weights]].to_numpy().reshape(-1, size, len(weights))
    spread = scores.std(1, ddof=1, keepdims=True)
    pull = (scores - scores.mean(1, keepdims=True)) / (spread + 1e-4) * list(weights.values())
    pull = np.where(spread > 1e-3, pull, 0).reshape(-1, len(weights))
    mixed = (pull.max(1) > 1e-3) & (pull.min(1) < -1e-3)
    return mixed.mean(), 1 - np.abs(pull.sum(1)).sum() / np.abs(pull).sum()


def test_the_conflict_that_is_logged_is_that_of_the_rewards_under_their_weights(tmp_path: Path) -> None:
    log, frame = run(tmp_path, NamedReward("varied", tiny.varied, Steps({0: 0.0, 1: -3.0})))
    seen = []
    for step, weight in enumerate((0.0, -3.0)):
        part = frame[frame["step"] == step]
        want = conflict(part, {"early": 1.0, "brief": 1.0, "varied": weight})
        found = log[step]["concord/conflict/mixed"], log[step]["concord/conflict/cancelled"]
        assert found == pytest.approx(want, abs=1e-4)
        seen.append((want, conflict(part, {"early": 1.0, "brief": 1.0, "varied": 1.0})))
    assert all(abs(want[1] - unweighted[1]) > 0.01 for want, unweighted in seen)


def test_trls_sum_of_rewards_is_under_the_weights_in_force(tmp_path: Path) -> None:
    log, _ = run(tmp_path, NamedReward("varied", tiny.varied, Steps({0: 10.0, 1: 0.0})))
    for entry, weight in zip(log, (10.0, 0.0), strict=True):
        parts = entry["rewards/early/mean"] + entry["rewards/brief/mean"] + weight * entry["rewards/varied/mean"]
        assert entry["reward"] == pytest.approx(parts, abs=1e-5)


def test_a_gate_is_logged_dumped_and_used(tmp_path: Path) -> None:
    gated = NamedReward("varied", tiny.varied, when="brief >= 0.5")
    log, frame = run(tmp_path, gated)
    opened = frame["brief_open"] = frame["reward/brief"] >= 0.5
    assert 0 < opened.sum() < len(frame)
    assert frame["gate/varied"].tolist() == opened.tolist()
    assert "gate/brief" not in frame
    assert (frame["reward/varied"][~opened] == 0).all()
    assert (frame["reward/varied"][opened] != 0).any()
    first = opened[: len(frame) // STEPS]
    assert log[0]["concord/gate/varied"] == pytest.approx(first.mean())


def test_rewards_are_asked_again_for_refilled_groups(tmp_path: Path) -> None:
    log, frame = run(tmp_path, injected("abstained", 0.5), method="dapo", refill_rounds=3)
    assert frame["status/flaky"].tolist() == [
        "abstained" if flaky.chosen(text, 0.5) else "scored" for text in frame["completion"]
    ]
    assert len(log) == STEPS


def test_a_model_of_trls_beside_them(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    torch.manual_seed(0)
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Qwen2Config(vocab_size=len(tiny.tokenizer()), num_key_value_heads=1, num_labels=1, **size)
    model = Qwen2ForSequenceClassification(config)
    model.config._name_or_path = "judge"
    trainer = tiny.trainer(
        tmp_path,
        rewards=[model, NamedReward("flaky", tiny.early, when="judge > -100")],
        dump=str(tmp_path / "dump"),
        max_steps=1,
        options={"reward_processing_classes": [tiny.tokenizer(), None]},
    )
    trainer.train()
    frame = pd.read_parquet(next((tmp_path / "dump").iterdir()))
    assert frame["status/judge"].tolist() == ["scored"] * 16
    assert frame["reward/judge"].nunique() > 1
    assert frame["gate/flaky"].all()


def test_what_does_not_fit_is_an_error_at_the_start(tmp_path: Path) -> None:
    named = NamedReward("early", tiny.early, 2.0)
    with pytest.raises(ConfigError, match="the weight of reward 'early' is given twice"):
        tiny.trainer(tmp_path, rewards=[named, tiny.brief], method_args={"weights": {"early": 1.0}})
    with pytest.raises(DuplicateName, match="used more than once: 'early'"):
        tiny.trainer(tmp_path, rewards=[named, tiny.early])
    with pytest.raises(ConfigError, match=r"there is no reward 'breif'; did you mean 'brief'"):
        tiny.trainer(tmp_path, rewards=[NamedReward("early", tiny.early, when="breif > 0"), tiny.brief])


def test_evaluation_gates_too(tmp_path: Path) -> None:
    rewards = [tiny.brief, NamedReward("never", tiny.early, when="brief > 100"), tiny.varied]
    trainer = tiny.trainer(tmp_path, rewards=rewards, options={"eval_dataset": tiny.prompts(4)})
    found = trainer.evaluate()
    assert found["eval_rewards/never/mean"] == 0
    assert found["eval_concord/gate/never"] == 0
    assert not math.isnan(found["eval_reward"])


def logging(completions: list[str], log_extra: Any = None, trainer_state: Any = None, **_: Any) -> dict[str, Any]:
    """Logs, returns what no reward takes, and edits what it was given."""
    log_extra("length", [len(text) for text in completions])
    if trainer_state.global_step:
        log_extra("late", [text[:1] for text in completions])
    found = {"score": [len(text) / 10 for text in completions], "prompt": ["mine"] * len(completions)}
    completions[:] = ["edited"] * len(completions)
    return found


def test_what_functions_give_beside_scores_is_dumped_and_nothing_they_edit(tmp_path: Path) -> None:
    _, frame = run(tmp_path, NamedReward("logging", logging))
    texts = frame["completion"].tolist()
    assert "edited" not in texts
    assert frame["extra/length"].tolist() == [len(text) for text in texts]
    assert frame["reward/logging"].tolist() == pytest.approx([len(text) / 10 for text in texts])
    # A name of TRL's own table is not taken from it.
    assert frame["extra/extra_prompt"].tolist() == ["mine"] * len(frame)
    assert set(frame["prompt"]) != {"mine"}
    first = len(frame) // STEPS
    assert frame["extra/late"][:first].isna().all()
    assert frame["extra/late"].tolist()[first:] == [text[:1] for text in texts[first:]]


def test_what_was_logged_stays_with_its_rollout_where_groups_are_refilled(tmp_path: Path) -> None:
    _, frame = run(tmp_path, NamedReward("logging", logging), method="dapo", refill_rounds=3)
    assert frame["extra/length"].tolist() == [len(text) for text in frame["completion"]]
