"""TRL's table of completions, written by an unmodified GRPOTrainer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trl import GRPOConfig, GRPOTrainer

from concord.dumps import open_dump
from tests.dumps.truth import check, read, rows
from tests.engines import tiny

pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


def thirds(completions: list[str], log_extra: Any, **_: Any) -> list[float | None]:
    """Abstains on each third rollout, and logs columns that are no rewards."""
    log_extra("judge", ["fine"] * len(completions))
    log_extra("letters", [len(text) for text in completions])
    return [None if n % 3 == 0 else 0.25 * n for n in range(len(completions))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generated batches, each trained on for two steps."""
    folder = tmp_path_factory.mktemp("run")
    config = GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=8, num_generations=4, max_completion_length=6,
        max_steps=4, num_iterations=2, logging_steps=1, save_steps=4, report_to=[], use_cpu=True, bf16=False,
        gradient_checkpointing=False, disable_tqdm=True, dataloader_pin_memory=False, log_completions=True,
        num_completions_to_print=0, seed=1,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=tiny.model(),
        reward_funcs=[tiny.early, tiny.brief, thirds],
        args=config,
        train_dataset=tiny.prompts(),
        processing_class=tiny.tokenizer(),
    )
    trainer.train()
    return folder


def table(run: Path, step: int) -> pd.DataFrame:
    return pd.read_parquet(run / "completions" / f"completions_{step:05d}.parquet")


def test_a_run_of_unmodified_trl(run: Path) -> None:
    dump, groups = read(run)
    assert dump.format == "trl"
    assert dump.rewards == ("early", "brief", "thirds")
    assert "rewards: early, brief, thirds (as the run's trainer_state.json names them)" in dump.inferred
    assert [(group.step, len(group.completions)) for group in groups] == [(1, 4), (1, 4), (3, 4), (3, 4)]
    assert {group.run for group in groups} == {run.name}
    assert dump.skipped.keys() == {"rollout that the step before has logged already"}  # no word of the checkpoint
    assert any(sentence.startswith("PyTorch files in the folder, not opened: ") for sentence in dump.inferred)
    for step, found in ((1, groups[:2]), (3, groups[2:])):
        wanted = table(run, step)
        assert [text for group in found for text in group.completions] == wanted["completion"].tolist()
        scores = np.concatenate([group.scores for group in found])
        np.testing.assert_array_equal(scores, wanted[list(dump.rewards)].to_numpy())
        assert np.isnan(scores[:, 2]).tolist() == [n % 3 == 0 for n in range(8)]
        advantages = np.concatenate([group.advantages for group in found if group.advantages is not None])
        np.testing.assert_array_equal(advantages, wanted["advantage"].to_numpy())
        for group, rows_of_group in zip(found, (wanted[:4], wanted[4:]), strict=True):
            assert set(rows_of_group["prompt"]) == {group.prompt}


def test_a_batch_that_is_trained_on_twice_counts_once(run: Path) -> None:
    assert table(run, 1).drop(columns="step").equals(table(run, 2).drop(columns="step"))  # what TRL does
    dump, groups = read(run)
    assert dump.skipped["rollout that the step before has logged already"] == 16
    assert sum(len(group.completions) for group in groups) == 16


def test_without_the_trainers_state_floats_are_rewards(run: Path) -> None:
    dump = open_dump(run / "completions" / "completions_00003.parquet")
    assert dump.rewards == ("early", "brief", "thirds")  # not "judge", a text, and not "letters", whole numbers
    logged = [sentence for sentence in dump.inferred if sentence.startswith("rewards: ")]
    assert logged == ["rewards: early, brief, thirds (as the run's trainer_state.json names them)"]
    alone = run.parent / "alone.table"
    shutil.copy(run / "completions" / "completions_00003.parquet", alone)
    guessed = open_dump(alone)
    assert guessed.rewards == ("early", "brief", "thirds")
    assert "rewards: early, brief, thirds (numbers that are no known field of trl)" in guessed.inferred
    assert any("reward_weights" in sentence for sentence in guessed.missing)


def test_a_log_that_names_fewer_rewards_is_believed(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "completions", tmp_path / "completions")
    state = tmp_path / "checkpoint-4" / "trainer_state.json"
    state.parent.mkdir()
    state.write_text(json.dumps({"log_history": [{"rewards/brief/mean": 0.1, "reward": 1}]}))
    assert open_dump(tmp_path).rewards == ("brief",)
    state.write_text("{")
    assert open_dump(tmp_path).rewards == ("early", "brief", "thirds")


def test_rewards_may_be_named(run: Path) -> None:
    dump, groups = read(run, rewards=["thirds", "letters"])
    assert dump.rewards == ("thirds", "letters")
    wanted = table(run, 1)[["thirds", "letters"]].to_numpy(float)
    np.testing.assert_array_equal(np.concatenate([group.scores for group in groups[:2]]), wanted)


def write_table(folder: Path, wanted: Any, prompts: Any = None) -> Path:
    folder.mkdir(exist_ok=True)
    for step in {row.step for row in wanted}:
        here = [row for row in wanted if row.step == step]
        frame = {
            "step": [row.step for row in here],
            "prompt": [row.prompt if prompts is None else prompts(row) for row in here],
            "completion": [[{"role": "assistant", "content": row.completion}] for row in here],
            **{name: [row.scores[name] for row in here] for name in here[0].scores},
            "advantage": [row.advantage for row in here],
        }
        pd.DataFrame(frame).to_parquet(folder / f"completions_{step:05d}.parquet")
    return folder


def test_conversations_and_numeric_order(tmp_path: Path) -> None:
    wanted = rows()
    dump, groups = read(write_table(tmp_path, wanted))
    check(groups, wanted, advantages=True)
    assert [group.step for group in groups] == [1, 1, 1, 2, 2, 2, 10, 10, 10]
    assert not dump.skipped


def test_two_groups_of_one_prompt_in_a_row_are_two(tmp_path: Path) -> None:
    def same(row: Any) -> str:
        return "the same" if row.group < 2 and row.step == 2 else row.prompt

    dump, groups = read(write_table(tmp_path, rows(groups=4), same))
    assert [len(group.completions) for group in groups] == [4] * 12
    assert "longer runs of one prompt were cut into groups, 1 times" in dump.inferred


def test_a_collapsed_policy_is_no_repeat(tmp_path: Path) -> None:
    for step in (1, 2):
        frame = {
            "step": [step] * 4,
            "prompt": ["p"] * 4,
            "completion": [""] * 4,
            "r": [0.5] * 4,
            "advantage": [0.0] * 4,
        }
        pd.DataFrame(frame).to_parquet(tmp_path / f"{step}.parquet")
    dump, groups = read(tmp_path)
    assert [group.step for group in groups] == [1, 2]
    assert not dump.skipped
