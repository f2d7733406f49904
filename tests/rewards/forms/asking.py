"""Asking a reward function as the rewards layer does, its arguments sent as to another process."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from typing import Any

from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect

ANSWERS = RewardBatch(
    prompts=["1 + 1?", "1 + 1?", "2 + 3?"],
    completions=["2", "two", "5"],
    completion_ids=[[2], [7, 8], [5]],
    columns={"answer": ["2", "2", "5"]},
)
CHATS = RewardBatch(
    prompts=[[{"role": "system", "content": "Count."}, {"role": "user", "content": "1 + 1?"}]],
    completions=[[{"role": "assistant", "content": "2"}]],
    columns={"answer": ["2"]},
)


def with_columns(batch: RewardBatch = ANSWERS, **columns: Any) -> RewardBatch:
    return RewardBatch(batch.prompts, batch.completions, batch.completion_ids, columns, batch.context)


def ask(target: Any, batch: RewardBatch = ANSWERS, /, form: str | None = None, **options: Any) -> dict[str, list[Any]]:
    """The columns of raw entries, through detection, binding, calling and reading."""
    found = detect(target, form).form
    function = found.bind(target, options)
    size = len(batch) if found.whole else 1
    columns: dict[str, list[Any]] = {}
    for start in range(0, len(batch), size):
        call = found.call(batch.part(start, start + size), function)
        assert call.size == len(batch.part(start, start + size))
        value = function(**pickle.loads(pickle.dumps(dict(call.arguments))))
        if inspect.iscoroutinefunction(function):
            value = asyncio.run(value)
        for name, entries in found.read(value, call.size).items():
            assert len(entries) == call.size
            columns.setdefault(name, []).extend(entries)
    return columns
