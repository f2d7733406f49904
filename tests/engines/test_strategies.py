"""Strategies in TRL: rows in the order of a curriculum, and groups that are hinted until they succeed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset

from concord.core.errors import ConfigError
from concord.engines.trl.curriculum import in_order
from concord.engines.trl.hints import HintedTrainer
from concord.engines.trl.trainer import ConcordTrainer
from concord.strategies import curriculum, ghpo
from tests.engines import tiny
from tests.engines.gradients import Loss, assert_gradients, expected, record

# ---- Curriculum ----


def rows(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict({"prompt": [" ".join("abcdefghijklmnop"[i]) for i in range(16)], **columns})


def test_training_meets_the_rows_in_the_order_of_the_curriculum(tmp_path: Path) -> None:
    hardness = [(7.0 * i) % 16 for i in range(16)]
    data = in_order(rows(hardness=hardness), "hardness", curriculum(stages=4))
    met: list[str] = []

    def watch(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        met.extend(prompts[::4])
        return tiny.brief(completions)

    tiny.trainer(tmp_path, data=data, rewards=[watch], max_steps=4, shuffle_dataset=False).train()
    assert met == data["prompt"][:]
    stages = [sorted(data["hardness"][start : start + 4]) for start in range(0, 16, 4)]
    assert stages == [[4.0 * s + i for i in range(4)] for s in range(4)]


@pytest.mark.parametrize(
    ("difficulty", "message"),
    [
        ("hardnes", "did you mean 'hardness'"),
        ([1.0], "16 rows and 1 difficulties"),
        (["easy"] * 16, "a difficulty is a number"),
    ],
)
def test_a_difficulty_that_is_none_is_refused(difficulty: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        in_order(rows(hardness=[0.0] * 16), difficulty, curriculum())


def test_rows_that_were_not_measured_come_last() -> None:
    ordered = in_order(rows(), [None, math.nan, *range(14, 0, -1)], curriculum(stages=16))
    assert set(ordered["prompt"][-2:]) == {"a", "b"}


# ---- Hints ----

SOLUTION = "c d e f "  # eight characters: a share of 0.25 shows one letter


def hinted(folder: Path, data: Dataset | IterableDataset | None = None, **changes: Any) -> ConcordTrainer:
    parts = {"hints": ghpo(lead="o"), "solved": lambda completion, row: False} | changes.pop("parts", {})
    data = rows(solution=[SOLUTION] * 16) if data is None else data
    return tiny.trainer(folder, partial(HintedTrainer, **parts), data=data, **changes)  # type: ignore[arg-type]


def test_a_group_is_trained_on_with_the_hint_that_it_was_sampled_with(tmp_path: Path) -> None:
    """Prompts a to h are solved at once, the others never; the gradient is that of the prompts as they were shown."""
    seen: list[tuple[str, str]] = []

    def solved(completion: str, row: Mapping[str, Any]) -> bool:
        return row["prompt"] in "abcdefgh"

    def watch(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        seen.extend(zip(prompts, completions, strict=True))
        return tiny.brief(completions)

    trainer = hinted(tmp_path, parts={"solved": solved}, rewards=[watch], method="gdpo", max_steps=4)
    steps = record(trainer)
    assert_gradients(steps, expected(steps, Loss()))
    words = trainer.processing_class
    trained_on = Counter(
        (words.decode(prompt[there.bool()]), words.decode(ids, skip_special_tokens=True))
        for batch in (batch for step in steps for batch in step.batches)
        for prompt, there, ids in zip(batch["prompt_ids"], batch["prompt_mask"], batch["completion_ids"], strict=True)
    )
    hint = {prompt: "" if prompt in "abcdefgh" else " o c d e" for prompt, _ in seen}
    assert trained_on == Counter((prompt + hint[prompt], completion) for prompt, completion in seen)
    log = [entry for entry in trainer.state.log_history if "concord/hints/share" in entry]
    assert sum(entry["concord/hints/share"] for entry in log) / len(log) == pytest.approx(0.75 / 2)
    assert sum(entry["concord/hints/failed"] for entry in log) / len(log) == pytest.approx(1 / 2)


def test_without_failures_it_is_the_trainer_without_hints(tmp_path: Path) -> None:
    data = rows(solution=[SOLUTION] * 16)
    plain = tiny.trainer(tmp_path / "plain", data=data)
    plain.train()
    quiet = hinted(tmp_path / "quiet", data, parts={"solved": lambda completion, row: True})
    quiet.train()
    assert list(plain._logs["completion"]) == list(quiet._logs["completion"])
    for a, b in zip(plain.model.parameters(), quiet.model.parameters(), strict=True):
        assert a.equal(b)


def test_evaluation_has_no_hints(tmp_path: Path) -> None:
    trainer = hinted(tmp_path, options={"eval_dataset": rows().select(range(4))}, per_device_eval_batch_size=4)
    trainer.evaluate()
    assert {len(prompt.split()) for prompt in trainer._logs["prompt"]} == {1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows(), "no column 'solution'"),
        (rows(solution=["x"] * 16).to_iterable_dataset(), "streamed"),
        (Dataset.from_dict({"prompt": ["a"] * 16, "solution": list("xy" * 8)}), "rows 0 and 1 have one prompt"),
    ],
)
def test_data_that_cannot_be_hinted_are_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        hinted(tmp_path, data)
