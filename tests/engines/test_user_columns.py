"""Facts that only the user's functions know: asked of every rollout, and handed to the chain."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import create
from concord.core.errors import BatchError, ConfigError
from concord.engines.trl.columns import as_column
from tests.engines import tiny
from tests.engines.scored import Watched

RUN = {"method": "copo", "rewards": [tiny.first_letter]}


def last_letter(completions: list[str], **_: Any) -> list[str | None]:
    return [text.split()[-1] if text.split() else None for text in completions]


def test_copo_compares_the_answers_that_a_function_reads(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, Watched, options={"columns": {"answers": last_letter}}, **RUN, max_steps=2)
    trainer.train()
    for batch, ids, _ in trainer.seen:
        texts = tiny.tokenizer().batch_decode(ids["completion_ids"], skip_special_tokens=True)
        answers, found = last_letter(texts), batch.columns["answers"]
        assert found.dtype == torch.int64
        same = [[one == other for other in answers] for one in answers]
        assert (found[:, None] == found).tolist() == same
        assert len(set(found.tolist())) > 2
    logged = torch.tensor(list(trainer._logs["advantages"]))
    torch.testing.assert_close(logged, create("copo").signal(trainer.seen[-1][0]).advantages, rtol=0, atol=1e-6)


def test_a_function_sees_what_reward_functions_see(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def answers(**given: Any) -> list[str]:
        seen.update(given)
        return ["same"] * len(given["completions"])

    tiny.trainer(tmp_path, options={"columns": {"answers": answers}}, **RUN, max_steps=1).train()
    assert set(seen) == {"prompts", "completions", "completion_ids", "answer"}
    assert {len(value) for value in seen.values()} == {16}
    assert tiny.tokenizer().decode(seen["completion_ids"][3], skip_special_tokens=True) == seen["completions"][3]


def test_evaluation_asks_too_and_a_method_that_does_not_read_the_column_does_not(tmp_path: Path) -> None:
    asked: list[int] = []

    def answers(completions: list[str], **_: Any) -> list[str]:
        asked.append(len(completions))
        return completions

    options = {"columns": {"answers": answers}, "eval_dataset": tiny.prompts(4)}
    tiny.trainer(tmp_path, options=options, **RUN, per_device_eval_batch_size=4).evaluate()
    assert asked == [4] * 4
    tiny.trainer(tmp_path, options=options, max_steps=1).train()
    assert asked == [4] * 4


def test_turns_are_paid_where_a_function_says(tmp_path: Path) -> None:
    """One reward at each response's second token: a list as long as the response, whatever its length."""

    def turn_rewards(completion_ids: list[list[int]], **_: Any) -> list[list[float]]:
        return [[float(t == 1) for t in range(len(ids))] for ids in completion_ids]

    columns = {"turn_rewards": turn_rewards}
    trainer = tiny.trainer(
        tmp_path, Watched, method="turn_ppo", rewards=[tiny.first_letter], options={"columns": columns}, max_steps=2
    )
    trainer.train()
    for batch, _, _ in trainer.seen:
        found, mask = batch.columns["turn_rewards"], batch.columns["response_mask"]
        assert found.shape == mask.shape
        assert (found[:, 1] == mask[:, 1].float()).all()
        assert found.sum() == mask[:, 1].sum()


def test_entries_become_columns_by_their_kind() -> None:
    assert as_column("c", ["a", "b", None, "a", None], 3).tolist() == [0, 1, 2, 0, 2]
    assert as_column("c", [1, 2, True], 3).dtype == torch.int64
    numbers = as_column("c", [0.5, None, 2], 3)
    assert numbers.dtype == torch.float32
    assert numbers[0] == 0.5
    assert math.isnan(numbers[1])
    assert as_column("c", [None, None], 3).isnan().all()
    assert as_column("c", [[1, 2], None, torch.tensor([3.0, 4.0, 5.0])], 4).tolist() == [
        [1, 2, 0, 0], [0, 0, 0, 0], [3, 4, 5, 0],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["a", 1.0], "column 'c' has both texts and 1.0"),
        ([1.0, "a"], "column 'c' has both texts and 1.0"),
        ([[1.0], 2.0], "column 'c' has both lists of numbers and 2.0"),
        ([{"a": 1}], "both numbers and {'a': 1}"),
        ([[1.0, 2.0, 3.0, 4.0]], "column 'c' has 4 entries for a response; the longest has 3 tokens"),
    ],
)
def test_entries_of_two_kinds_are_an_error(said: list[Any], message: str) -> None:
    with pytest.raises(BatchError, match=message):
        as_column("c", said, 3)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    def few(completions: list[str], **_: Any) -> list[str]:
        return completions[1:]

    trainer = tiny.trainer(tmp_path, options={"columns": {"answers": few}}, **RUN)
    with pytest.raises(BatchError, match="the function of column 'answers' returned 15 entries for 16 rollouts"):
        trainer.train()
    with pytest.raises(ConfigError, match=r"'copo' needs columns \['answers'\]; there are .*'anwsers'.* as columns="):
        tiny.trainer(tmp_path, options={"columns": {"anwsers": few}}, **RUN)
