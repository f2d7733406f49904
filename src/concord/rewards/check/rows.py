"""The completions that a reward function is asked about: from rows of data, or made up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.batch import RESERVED, RewardBatch
from concord.rewards.completions import Completion, completion_text

Row = Mapping[str, Any]

ANSWERS = ("answer", "ground_truth", "solution", "label")
"""Columns that hold what a completion should come to, in the order in which they are looked for."""

_QUESTIONS = {
    "What is 17 + 25?": "42",
    "What is the capital of Peru?": "Lima",
    "How many days has a leap year?": "366",
    "Which gas do plants take in from the air?": "carbon dioxide",
}

_REPLIES = (
    "{answer}",
    "<think>\nI work it out step by step.\n</think>\n<answer>{answer}</answer>",
    "I am not sure. Perhaps {wrong}?",
    "So the answer is \\boxed{{{answer}}}.",
    '{{"answer": "{answer}"}}',
    "Let me think about that for a while. Let me think about that for a while. Let me think. #### {answer}",
    "<think>That is easy.</think> {wrong}",
    "I do not know.",
)


def own_rows() -> list[dict[str, Any]]:
    """Four questions, with the answer under each name that frameworks have for it."""
    return [{"prompt": question, **dict.fromkeys(ANSWERS, answer)} for question, answer in _QUESTIONS.items()]


def make_batch(rows: Sequence[Row], size: int, *, chat: bool = False) -> tuple[RewardBatch, list[str]]:
    """The batch for the first rows, and what was supplied for what they lack, a sentence each.

    Columns that rows lack are None there. Without a column ``completion`` replies are written: some give the row's
    answer, in several ways, others another row's. Without ``completion_ids`` the bytes of the text stand for tokens.
    An engine's context is there too: a trainer state at step 0, and logging that goes nowhere.

    Args:
        rows: with ``prompt``, ``completion`` and the data's columns, any of which may lack.
        size: how many completions at most.
        chat: hand on text as messages.

    Raises:
        ConfigError: no rows, or a prompt or completion that is neither text nor messages.
    """
    if not rows:
        raise ConfigError("there are no rows to check with")
    notes = []
    if not any("prompt" in row for row in rows):
        notes.append("there is no column 'prompt': prompts are empty")
    if not any("completion" in row for row in rows):
        rows = _replied(rows, size)
        notes.append("there is no column 'completion': completions are made of the answers and of stock phrases")
    rows = rows[:size]
    prompts = [_checked(row.get("prompt"), "prompt", index) for index, row in enumerate(rows)]
    completions = [_checked(row.get("completion"), "completion", index) for index, row in enumerate(rows)]
    if chat:
        prompts = [_message("user", prompt) for prompt in prompts]
        completions = [_message("assistant", completion) for completion in completions]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("prompt", "completion")))
    left_out = [name for name in names if name in RESERVED and name != "completion_ids"]
    if left_out:
        notes.append(f"left out the columns {', '.join(left_out)}: rollouts are passed under those names")
    columns = {name: [row.get(name) for row in rows] for name in names if name not in RESERVED}
    ids: list[Any] = [row.get("completion_ids") for row in rows]
    if any(entry is None for entry in ids):
        ids = [token_ids(completion) for completion in completions]
        notes.append("tokens are not known: the bytes of a completion stand for its completion_ids")
    context = {
        "trainer_state": SimpleNamespace(global_step=0, max_steps=1, epoch=0.0),
        **dict.fromkeys(("log_extra", "log_metric"), _ignore),
    }
    return RewardBatch(prompts, completions, ids, columns, context), notes


def is_chat(batch: RewardBatch) -> bool:
    """Whether any completion is messages."""
    return not all(isinstance(completion, str) for completion in batch.completions)


def uses_tools(batch: RewardBatch) -> bool:
    """Whether tools are used: there is a column ``tools``, a call of one, or an answer of one."""
    if any(batch.columns.get("tools") or ()):
        return True
    messages = (m for chat in (*batch.prompts, *batch.completions) if not isinstance(chat, str) for m in chat)
    return any(message.get("tool_calls") or message.get("role") == "tool" for message in messages)


def token_ids(completion: Completion) -> list[int]:
    """Bytes in the place of tokens.

    Example:
        >>> token_ids("Hi!")
        [72, 105, 33]
    """
    return list(completion_text(completion).encode("utf-8", "surrogatepass"))


def take(batch: RewardBatch, indices: Sequence[int]) -> RewardBatch:
    """The completions at these places, in this order."""

    def chosen(column: Sequence[Any]) -> list[Any]:
        return [column[index] for index in indices]

    return RewardBatch(
        chosen(batch.prompts),
        chosen(batch.completions),
        None if batch.completion_ids is None else chosen(batch.completion_ids),
        {name: chosen(column) for name, column in batch.columns.items()},
        batch.context,
    )


def _ignore(*_: Any, **__: Any) -> None:
    pass


def _checked(value: Any, name: str, index: int) -> Any:
    if value is None:
        return ""
    messages = isinstance(value, list | tuple) and all(
        isinstance(message, Mapping) and "role" in message for message in value
    )
    if not (isinstance(value, str) or (messages and value)):
        raise ConfigError(
            f"row {index}: the {name} is {value!r:.80}; it is text, or a list of messages with role and content"
        )
    return value


def _message(role: str, said: Any) -> Any:
    return [{"role": role, "content": said}] if isinstance(said, str) else said


def _replied(rows: Sequence[Row], size: int) -> list[Row]:
    """Each row with one reply after the other, until there are enough; messages where the prompt is messages."""
    replied: list[Row] = []
    answers = [_answer(row) for row in rows]
    for turn in range(len(_REPLIES)):
        for index, row in enumerate(itertools.islice(rows, size - len(replied))):
            template = _REPLIES[(turn + index) % len(_REPLIES)]
            text = template.format(answer=answers[index], wrong=answers[(index + 1) % len(rows)])
            chat = not isinstance(row.get("prompt", ""), str)
            replied.append({**row, "completion": _message("assistant", text) if chat else text})
    return replied


def _answer(row: Row) -> str:
    found = next((row[name] for name in ANSWERS if row.get(name) is not None), None)
    if found is None and isinstance(row.get("reward_model"), Mapping):  # verl's column
        found = row["reward_model"].get("ground_truth")
    if found is None:
        return "42"
    return found if isinstance(found, str) else json.dumps(found, default=str)
