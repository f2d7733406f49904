"""Facts that only the user's functions know: asked of every rollout, and handed to the chain."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.engines.trl import refill
from concord.engines.trl.columns import Function, as_column
from tests.engines import tiny
from tests.engines.scored import Watched

RUN = {"method": "copo", "rewards": [tiny.first_letter]}


def test_copo_compares_the_answers_that_a_function_reads(tmp_path: Path) -> None:
    trainer = tiny.trainer(tmp_path, Watched, options={"columns": {"answers": tiny.last_letter}}, **RUN, max_steps=2)
    trainer.train()
    for batch, ids, _ in trainer.seen:
        texts = tiny.tokenizer().batch_decode(ids["completion_ids"], skip_special_tokens=True)
        answers, found = tiny.last_letter(texts), batch.columns["answers"]
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
    assert as_column("c", ["a", "b", "", "a", ""], 3).tolist() == [0, 1, 2, 0, 2]
    assert as_column("c", [1, 2, True], 3).dtype == torch.int64
    numbers = as_column("c", [0.5, None, 2], 3)
    assert numbers.dtype == torch.float32
    assert numbers[0] == 0.5
    assert math.isnan(numbers[1])
    assert as_column("c", [None, None], 3).isnan().all()
    tokens = as_column("c", [[1, 2], [], (3.0, True, 5)], 4)
    assert tokens.dtype == torch.float32
    assert tokens.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0], [3, 1, 5, 0]]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["a", 1.0], r"column 'c' has texts, and 1.0 among them; where there is none, give ''"),
        (["a", None], r"column 'c' has texts, and None among them; where there is none, give ''"),
        ([[1.0], 2.0], r"column 'c' has lists, and 2.0 among them; where there is none, give \[\]"),
        ([[1.0], None], r"column 'c' has lists, and None among them"),
        ([[1.0, None]], r"column 'c' has numbers, and None among them; where there is none, give 0"),
        ([{"a": 1}], r"column 'c' has numbers, and {'a': 1} among them"),
        ([[1.0, 2.0, 3.0, 4.0]], "column 'c' has 4 entries for a response; the longest has 3 tokens"),
    ],
)
def test_entries_of_two_kinds_are_an_error(said: list[Any], message: str) -> None:
    with pytest.raises(BatchError, match=message):
        as_column("c", said, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda completions, **_: torch.arange(16) % 3,
        lambda completions, **_: np.arange(16) % 3,
        lambda completions, **_: [torch.tensor(i % 3) for i in range(16)],
        lambda completions, **_: tuple(np.int64(i % 3) for i in range(16)),
    ],
)
def test_tensors_and_arrays_are_what_they_hold(tmp_path: Path, function: Function) -> None:
    trainer = tiny.trainer(tmp_path, Watched, options={"columns": {"answers": function}}, **RUN, max_steps=1)
    trainer.train()
    assert trainer.seen[0][0].columns["answers"].tolist() == [i % 3 for i in range(16)]


def broken(completions: list[str], **_: Any) -> list[str]:
    raise KeyError("answer")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda completions, **_: completions[1:], "returned 15 entries for 16 rollouts"),
        (lambda completions, **_: "a" * 16, "returned str, not a list with an entry a rollout"),
        (lambda completions, **_: None, "returned NoneType, not a list"),
        (lambda completions, **_: dict.fromkeys(range(16)), "returned dict, not a list"),
        (broken, "raised KeyError: 'answer'"),
    ],
)
def test_an_answer_that_cannot_be_used_stops_the_run(tmp_path: Path, function: Function, message: str) -> None:
    trainer = tiny.trainer(tmp_path, options={"columns": {"answers": function}}, **RUN)
    with pytest.raises(BatchError, match=f"the function of column 'answers' {message}"):
        trainer.train()


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        (
            {"anwsers": tiny.last_letter},
            {},
            r"'copo' needs columns \['answers'\]; did you mean 'anwsers'\?; there are .* as col",
        ),
        ({"answers": tiny.last_letter, "lengths": tiny.last_letter}, {}, "column 'lengths' is the trainer's own"),
        ({"answers": "last_letter"}, {}, r"columns\['answers'\] must be a function, got 'last_letter'"),
    ],
)
def test_what_cannot_be_is_said_before_training(
    tmp_path: Path, columns: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny.trainer(tmp_path, options={"columns": columns}, **RUN | changes)


def test_the_stages_before_the_column_are_tried_before_training(tmp_path: Path) -> None:
    weights = {"method_args": {"weights": {"first_lettre": 2.0}}}
    with pytest.raises(BatchError, match="first_lettre"):
        tiny.trainer(tmp_path, options={"columns": {"answers": tiny.last_letter}}, **RUN | weights)


def test_numbers_may_be_whole_in_one_round_of_refilling_and_fractions_in_the_next() -> None:
    def batch(values: list[float]) -> Rollouts:
        columns = {"similarity": as_column("similarity", values, 1)}
        return Rollouts(torch.zeros(4, 1), Groups.uniform(2, 2), ("a",), columns)

    merged = refill.merge(batch([1, 0, 1, 1]), batch([0.5, 0.25, 0, 1]), torch.tensor([2, 3]), torch.tensor([0, 1]))
    assert merged.column("similarity").tolist() == [1.0, 0.0, 0.5, 0.25]
