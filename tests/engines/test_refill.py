"""Dynamic sampling: groups left empty are replaced before anything is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import IterableDataset

from concord.core.errors import ConfigError
from concord.engines.trl import refill
from tests.engines import tiny
from tests.engines.gradients import Loss, assert_gradients, assert_table, expected, record

DAPO = {"method": "dapo", "rewards": [tiny.first_letter], "num_generations": 4}


class Counting:
    """Varies by chance, and counts the rollouts that it was asked about."""

    __name__ = "counting"

    def __init__(self) -> None:
        self.asked: list[list[float]] = []

    def __call__(self, completions: list[str], **_: Any) -> list[float]:
        self.asked.append(tiny.first_letter(completions))
        return self.asked[-1]


def test_the_refilled_batch_is_what_is_trained_on(tmp_path: Path) -> None:
    """Tokens, old and reference log-probabilities, advantages, log and dump all belong to one another."""
    reward = Counting()
    trainer = tiny.trainer(
        tmp_path, max_steps=8, refill_rounds=3, beta=0.1, per_device_train_batch_size=4, gradient_accumulation_steps=2,
        steps_per_generation=4, num_iterations=2, learning_rate=0.2, dump=str(tmp_path / "dump"),
        model=tiny.saved_model(tmp_path / "base"), **DAPO | {"rewards": [reward]},
    )  # fmt: skip
    steps = record(trainer)
    log = [entry for entry in trainer.state.log_history if "concord/refill/empty" in entry]
    assert any(entry["concord/refill/empty"] > entry["concord/refill/left"] for entry in log), "nothing was refilled"
    reference = tiny.model().state_dict()
    assert_gradients(steps, expected(steps, Loss(high=0.28, count_dropped=False, beta=0.1, reference=reference)))
    assert_table(steps)
    frame = pd.read_parquet(sorted((tmp_path / "dump").iterdir())[-1])
    assert frame["prompt"].tolist() == list(trainer._logs["prompt"])
    assert frame["reward/counting"].tolist() == tiny.first_letter(frame["completion"].tolist())
    for _, group in frame.groupby("group"):
        assert group["prompt"].nunique() == 1


def test_as_many_rounds_as_were_allowed(tmp_path: Path) -> None:
    """A reward that never varies leaves every group empty, whatever is drawn."""
    asked: list[int] = []

    def never(completions: list[str], **_: Any) -> list[float]:
        asked.append(len(completions))
        return [1.0] * len(completions)

    trainer = tiny.trainer(tmp_path, refill_rounds=2, max_steps=1, method="dapo", rewards=[never])
    trainer.train()
    entry = trainer.state.log_history[0]
    assert asked == [16, 16, 16]
    assert [entry[f"concord/refill/{name}"] for name in ("empty", "rounds", "left")] == [4.0, 2.0, 4.0]


def test_metrics_are_of_the_prompts_as_sampled(tmp_path: Path) -> None:
    """TRL's means are those of the first round; what was drawn to fill up is selected, and would bias them."""
    reward = Counting()
    trainer = tiny.trainer(tmp_path, refill_rounds=3, max_steps=1, **DAPO | {"rewards": [reward]})
    trainer.train()
    entry, first = trainer.state.log_history[0], reward.asked[0]
    assert len(reward.asked) > 1
    assert entry["rewards/counting/mean"] == pytest.approx(sum(first) / len(first))
    assert entry["num_tokens"] == trainer.state.num_input_tokens_seen


def test_no_round_where_nothing_is_empty(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, refill_rounds=3, max_steps=2, method="dapo")
    trainer.train()
    for entry in trainer.state.log_history[:2]:
        assert [entry[f"concord/refill/{name}"] for name in ("empty", "rounds", "left")] == [0.0, 0.0, 0.0]


def test_further_prompts_walk_through_the_data() -> None:
    stream = refill.PromptStream([{"prompt": str(i)} for i in range(5)], seed=3)
    drawn = [example["prompt"] for example in stream.take(3) + stream.take(9)]
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list("01234")
    assert drawn[:5] != drawn[5:10], "a new order each time"
    again = refill.PromptStream(stream.data, seed=3, drawn=3)
    assert [example["prompt"] for example in again.take(9)] == drawn[3:]


@pytest.mark.parametrize(
    ("empty", "size", "processes", "want"), [(1, 4, 1, 1), (1, 4, 2, 1), (1, 4, 3, 3), (5, 3, 4, 8)]
)
def test_every_process_generates_the_same_number(empty: int, size: int, processes: int, want: int) -> None:
    assert refill.fitting(empty, size, processes) == want


def test_a_stream_has_no_further_prompts(tmp_path: Path) -> None:
    stream = IterableDataset.from_generator(lambda: iter([{"prompt": "a b"}] * 64))
    with pytest.raises(ConfigError, match="refill_rounds draws further prompts at random"):
        tiny.trainer(tmp_path, data=stream, refill_rounds=1)


def test_rounds_cannot_be_negative(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="refill_rounds must not be negative, got -1"):
        tiny.config(tmp_path, refill_rounds=-1)


def test_rows_for_no_pair() -> None:
    to, source = refill.rows([], 4, torch.device("cpu"))
    assert to.tolist() == source.tolist() == []
