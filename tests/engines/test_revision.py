"""Revisions in TRL: who is revised, what takes whose place, and what is learnt from it."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from concord import Rollouts
from concord.core.errors import BatchError, ConfigError
from concord.engines.trl.revision import RevisingTrainer, _asked
from concord.strategies import herl, revision_prompt
from tests.engines import tiny
from tests.engines.gradients import Loss, assert_gradients, expected, record

MEMBERS: list[float | None] = [
    0.0, 0.5, 0.25, 0.5,  # two drafts
    1.0, 0.0, 0.5, 0.5,  # as good as can be
    0.25, 0.0, 0.0, 0.0,
    0.5, 0.5, None, 0.5,  # one was not scored
]  # fmt: skip
DRAFTS = [1, 3, 8, 12, 13, 15]
# One is better than the first group, none as good as the third, one as good as the fourth.
REVISIONS = [0.25, 0.75, 0.0, 0.5, None, 0.25]
WITH_BONUS = [0.0, 0.375, 0.25, 0.625, 1.0, 0.0, 0.5, 0.5, 0.125, 0.0, 0.0, 0.0, 0.5, 0.5, None, 0.375]
SMALL = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "steps_per_generation": 4}


class Script:
    """Scores that are known beforehand, and what was asked about."""

    __name__ = "script"

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[str], list[str]]] = []

    def __call__(self, prompts: Any, completions: Any, answer: Any, **_: Any) -> list[float | None]:
        self.asked.append((list(prompts), list(completions), list(answer)))
        return MEMBERS if len(completions) == 16 else REVISIONS


def criteria(completion: str, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    return ["a"], [row["answer"]]


def revising(
    folder: Path, cls: type[RevisingTrainer] = RevisingTrainer, parts: Mapping[str, Any] = {}, **changes: Any
) -> Any:
    made = {"revisions": herl(alpha=0.5), "criteria": criteria} | parts
    defaults = {"method": "grpo", "rewards": [tiny.early]}
    return tiny.trainer(folder, partial(cls, **made), **defaults | changes)  # type: ignore[arg-type]


def spied(trainer: Any) -> list[dict[str, Any]]:
    """What each generation hands to the loss, before TRL shuffles the rows."""
    found: list[dict[str, Any]] = []
    generate = trainer._generate_and_score_completions

    def spy(inputs: Any) -> Any:
        output = generate(inputs)
        found.append(dict(output))
        return output

    trainer._generate_and_score_completions = spy
    return found


def texts(trainer: Any, output: Mapping[str, Any], part: str) -> list[str]:
    rows = zip(output[f"{part}_ids"], output[f"{part}_mask"], strict=True)
    skip = part == "completion"
    return [trainer.processing_class.decode(ids[there.bool()], skip_special_tokens=skip) for ids, there in rows]


# ---- A step whose scores are known beforehand ----


@dataclass
class Scripted:
    """One step. The draws are of the seed and the step alone: which members leave the three groups with drafts."""

    folder: Path
    trainer: Any
    script: Script
    output: dict[str, Any]

    def __post_init__(self) -> None:
        rng = random.Random("3, 0")
        self.first, self.third, self.fourth = (4 * group + rng.randrange(4) for group in (0, 2, 3))
        assert self.third != 8, "nothing would be copied"

    def replaced(self, scores: list[float | None]) -> list[float | None]:
        found = list(scores)
        found[self.first], found[self.third], found[self.fourth] = REVISIONS[1], found[8], REVISIONS[3]
        return found


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    folder, script = tmp_path_factory.mktemp("scripted"), Script()
    trainer = revising(folder, Corrected, rewards=[script], max_steps=1, dump=str(folder / "dump"))
    outputs = spied(trainer)
    trainer.train()
    assert [len(completions) for _, completions, _ in script.asked] == [16, 6]
    return Scripted(folder, trainer, script, outputs[0])


class Corrected(RevisingTrainer):
    """As if vLLM had sampled everything half as likely as it is."""

    def _sample(self, inputs: Any) -> Any:
        output, batch = super()._sample(inputs)
        weights = torch.full_like(output["completion_ids"], 2.0, dtype=torch.float32)
        return output | {"importance_sampling_ratio": weights}, batch


def test_the_best_drafts_are_revised_and_a_revision_or_a_copy_takes_a_place(scripted: Scripted) -> None:
    trainer, script, output = scripted.trainer, scripted.script, scripted.output
    (prompts, completions, answers), (their_prompts, revisions, their_answers) = script.asked
    assert their_prompts == [prompts[i] for i in DRAFTS], "reward functions see the prompt without the draft"
    assert their_answers == [answers[i] for i in DRAFTS]
    asked = [revision_prompt(prompts[i], completions[i], ["a"], [answers[i]]) for i in DRAFTS]
    wanted = list(zip(prompts, completions, [0] * 16, strict=True))
    wanted[scripted.first] = (asked[1], revisions[1], 1)
    wanted[scripted.third] = wanted[8]
    wanted[scripted.fourth] = (asked[3], revisions[3], 1)
    words = trainer.processing_class
    shown = [words.decode(words(text)["input_ids"]) for text, _, _ in wanted]
    assert texts(trainer, output, "prompt") == shown
    assert texts(trainer, output, "completion") == [text for _, text, _ in wanted]
    assert output["concord/revised"].tolist() == [mark for _, _, mark in wanted]


def test_the_advantages_are_those_of_the_groups_after_that(scripted: Scripted) -> None:
    rewards = scripted.replaced(WITH_BONUS)
    for start in range(0, 16, 4):
        group = rewards[start : start + 4]
        scored = [value for value in group if value is not None]
        mean, deviation = statistics.mean(scored), statistics.stdev(scored)
        want = [0.0 if value is None else (value - mean) / (deviation + 1e-6) for value in group]
        assert scripted.output["advantages"][start : start + 4].tolist() == pytest.approx(want, abs=1e-5)


def test_log_table_and_dump(scripted: Scripted) -> None:
    """Metrics are of the rollouts as sampled; the table and the dump of those that are learnt from."""
    trainer = scripted.trainer
    entry = trainer.state.log_history[0]
    assert entry["concord/revision/drafts"] == 3 / 4
    assert entry["concord/revision/better"] == pytest.approx(2 / 3)
    assert entry["concord/revision/gain"] == pytest.approx(statistics.mean([-0.25, 0.25, -0.25, 0.0, -0.25]))
    scored = [value for value in MEMBERS if value is not None]
    assert entry["rewards/script/mean"] == pytest.approx(statistics.mean(scored))
    assert entry["num_tokens"] == trainer.state.num_input_tokens_seen
    table, revised = trainer._logs, (scripted.first, scripted.fourth)
    assert list(table["completion"]) == texts(trainer, scripted.output, "completion")
    assert list(table["prompt"]) == scripted.script.asked[0][0]
    assert list(table["extra"]["revised"]) == [int(row in revised) for row in range(16)]
    assert pd.Series(table["rewards"]["script"]).equals(pd.Series(scripted.replaced(MEMBERS), dtype=float))
    frame = pd.read_parquet(next((scripted.folder / "dump").iterdir()))
    assert frame["prompt"].tolist() == list(table["prompt"])
    assert frame["completion"].tolist() == list(table["completion"])
    assert frame["reward/script"].astype(float).equals(pd.Series(scripted.replaced(WITH_BONUS), dtype=float))


def test_weights_against_the_samplers_error_are_for_what_is_not_revised(scripted: Scripted) -> None:
    output = scripted.output
    for n, (weights, there) in enumerate(
        zip(output["importance_sampling_ratio"], output["completion_mask"], strict=True)
    ):
        assert set(weights[there.bool()].tolist()) == {1.0 if n in (scripted.first, scripted.fourth) else 2.0}


# ---- Runs ----


def test_revised_tokens_have_their_own_loss_after_the_prompt_of_the_revision(tmp_path: Path) -> None:
    """Two passes over each batch in four steps: the ratio is not 1 in most, and a penalty reads the reference."""
    trainer = revising(
        tmp_path, parts={"gamma": 0.3}, max_steps=4, num_iterations=2, learning_rate=0.2, beta=0.1,
        model=tiny.saved_model(tmp_path / "base"), **SMALL,
    )  # fmt: skip
    steps = record(trainer)
    reference = tiny.model().state_dict()
    assert_gradients(steps, expected(steps, Loss(mean="sequence", gamma=0.3, beta=0.1, reference=reference)))
    later = [batch for step in steps if not step.first for batch in step.batches]
    assert any((batch["concord/revised"].bool() & (batch["advantages"] != 0)).any() for batch in later)
    assert max(entry["concord/objective/ratio_variance"] for entry in trainer.state.log_history[:4]) > 1e-3


def test_where_all_reach_the_target_it_is_the_trainer_without_revisions(tmp_path: Path) -> None:
    changes = {"method": "grpo", "rewards": [tiny.early], "num_iterations": 2, "max_steps": 4, **SMALL}
    plain = tiny.trainer(tmp_path / "plain", **changes)
    plain.train()
    quiet = revising(tmp_path / "quiet", parts={"revisions": herl(target=0.0)}, **changes)
    quiet.train()
    for a, b in zip(plain.model.parameters(), quiet.model.parameters(), strict=True):
        assert a.equal(b)
    entry, other = quiet.state.log_history[0], plain.state.log_history[0]
    assert [entry.pop(f"concord/revision/{name}") for name in ("drafts", "better", "gain")] == [0.0, None, None]
    assert entry | {"step_time": 0} == other | {"step_time": 0}


def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path) -> None:
    """In the midst of a generation batch, and between two of them."""
    options = {
        "num_iterations": 2, "max_steps": 6, "save_strategy": "steps", "save_steps": 1, "optim": "adamw_torch",
        "learning_rate": 0.01, **SMALL,
    }  # fmt: skip
    whole = revising(tmp_path / "whole", **options)
    whole.train()
    assert whole.state.log_history[4]["concord/revision/drafts"] > 0
    for step in (3, 4):
        again = revising(tmp_path / f"from {step}", **options)
        again.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
            assert a.equal(b)


def test_empty_groups_are_replaced_before_anything_is_revised(tmp_path: Path) -> None:
    """The tokens, the log and the gradient belong to one another, whichever round a row comes from."""
    trainer = revising(
        tmp_path, rewards=[tiny.first_letter], method="dapo", refill_rounds=1, max_steps=4, learning_rate=0.2
    )
    steps = record(trainer)
    log = trainer.state.log_history[:4]
    assert any(e["concord/refill/empty"] > e["concord/refill/left"] for e in log), "nothing was refilled"
    assert any(entry["concord/revision/better"] for entry in log), "nothing was revised"
    assert_gradients(steps, expected(steps, Loss(high=0.28, count_dropped=False)))
    for step in steps:
        assert all(len(set(step.table["prompt"][start : start + 4])) == 1 for start in range(0, 16, 4))
    assert not trainer._sampled, "rows are kept from one generation to the next"


def test_a_draft_may_come_from_a_refill(tmp_path: Path) -> None:
    told = [[0.0] * 4 + [1.0, 0.0, 0.0, 0.0] * 3, [0.0, 0.0, 0.5, 0.0], [1.0]]
    asked: list[tuple[list[str], list[str], list[str]]] = []
    drafts: list[tuple[str, str]] = []

    def scores(prompts: Any, completions: Any, answer: Any, **_: Any) -> list[float]:
        asked.append((list(prompts), list(completions), list(answer)))
        return told[len(asked) - 1]

    def watch(completion: str, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        drafts.append((completion, row["prompt"]))
        return [], []

    parts = {"criteria": watch}
    trainer = revising(tmp_path, parts=parts, rewards=[scores], method="dapo", refill_rounds=1, max_steps=1)
    trainer.train()
    prompts, completions, answers = asked[1]
    assert prompts[2] != asked[0][0][2]
    assert drafts == [(completions[2], prompts[2])]
    assert (asked[2][0], asked[2][2]) == ([prompts[2]], [answers[2]])
    assert list(trainer._logs["prompt"])[:4] == prompts
    assert asked[2][1][0] in list(trainer._logs["completion"])[:4]


def test_of_several_rewards_one_is_the_score(tmp_path: Path) -> None:
    """It decides and gets the bonus. The others of a draft stay; a revision brings all of its own."""
    trainer = revising(tmp_path, parts={"score": "varied"}, rewards=tiny.REWARDS, method="gd2po", max_steps=1)
    seen: list[Rollouts] = []
    rework = trainer._rework

    def spy(output: Any, batch: Rollouts) -> Any:
        output, after = rework(output, batch)
        seen.extend([batch, after])
        return output, after

    trainer._rework = spy
    trainer.train()
    before, after = (batch.rewards for batch in seen)
    completions = list(trainer._logs["completion"])
    scored = torch.tensor([reward(completions) for reward in tiny.REWARDS]).T
    assert after[:, :2].equal(scored[:, :2])
    best = before[:, 2].view(4, 4).amax(1).repeat_interleave(4)
    drafts = (before[:, 2] == best) & (best < 1)
    stayed = (before == scored).all(1) & (seen[1].column("revised") == 0)
    changed = after[:, 2] != scored[:, 2]
    assert changed[stayed].any()
    assert not changed[stayed & ~drafts].any()
    revised = seen[1].column("revised").bool()
    assert revised.any()
    assert not changed[revised].any()


def test_evaluation_has_no_revisions(tmp_path: Path) -> None:
    asked: list[int] = []

    def watch(completions: list[str], **_: Any) -> list[float]:
        asked.append(len(completions))
        return [0.0] * len(completions)

    options = {"eval_dataset": tiny.prompts(2)}
    trainer = revising(tmp_path, rewards=[watch], options=options, per_device_eval_batch_size=8)
    metrics = trainer.evaluate()
    assert asked == [8]
    assert list(trainer._logs["prompt"]) == [prompt for prompt in tiny.prompts(2)["prompt"] for _ in range(4)]
    assert list(trainer._logs["extra"]["revised"]) == [0] * 8
    assert not any("revision" in name for name in metrics)
    assert not trainer._sampled


def test_rows_may_be_streamed(tmp_path: Path) -> None:
    trainer = revising(tmp_path, data=tiny.prompts().to_iterable_dataset(), max_steps=1)
    trainer.train()
    assert trainer.state.log_history[0]["concord/revision/drafts"] > 0


def test_of_messages_the_last_one_becomes_the_prompt_of_the_revision() -> None:
    system, user = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet."}
    draft = [{"role": "assistant", "content": "Hm."}]
    text = revision_prompt("Greet.", "Hm.", [], ["greets"])
    assert _asked([system, user], draft, [], ["greets"]) == [system, {"role": "user", "content": text}]
    assert _asked("Greet.", "Hm.", [], ["greets"]) == text
    assert user["content"] == "Greet."


# ---- What cannot be ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rewards": tiny.REWARDS},
            r"which reward are the revisions about\? Name one of early, brief, varied as score=",
        ),
        ({"parts": {"score": "erly"}}, "no reward 'erly'; did you mean 'early'"),
        ({"method": "clipo", "method_args": {"threshold": 0.5}}, "method 'clipo' has a learner"),
        ({"method": "real"}, "no place; take a method whose loss is a PolicyObjective"),
        ({"method": "nthr"}, r"method 'nthr' reads \['token_scores'\], which may compare members of a group"),
        ({"parts": {"gamma": -1.0}}, "gamma must not be negative"),
    ],
)
def test_what_cannot_be_revised_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        revising(tmp_path, **changes)


def test_the_method_is_checked_as_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="a weight names reward 'erly'"):
        revising(tmp_path, method_args={"weights": {"erly": 2.0}})


@pytest.mark.filterwarnings("ignore:.*rollout_func.*")
def test_rollouts_of_the_users_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="text without tools, images, environments or a rollout_func"):
        revising(tmp_path, options={"rollout_func": lambda prompts, trainer: {}})


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(ConfigError, match="revisions are for one process"):
        revising(tmp_path)
