"""API-Bank as ToolRL and GD2PO evaluate on it: its rows, and three scores of a response.

    sets:
      level_1: {path: api_bank/level-1.json, reader: "concord.recipes.api_bank:rows"}
    rewards:
      correct: {path: "concord.recipes.api_bank:correct"}
      format: {path: "concord.recipes.api_bank:format"}
      length: {path: "concord.rewards.toolrl:length"}

The files are ``benchmarks/API-Bank/level-{1,2,3}-api_processed.json`` of github.com/qiancheng0/ToolRL at 8cee13e; those
in github.com/Qwen-Applications/GD2PO at f1ad765 are the same bytes. They hold 399, 67 and 131 rows. Every row has one
true call, and every row counts here: the denominators are 399, 67, 131, and 597 for all levels. The public scripts
disagree about rows in which something fails. ToolRL's counts them as wrong. GD2PO's generation leaves a row out that
raised; of the others ``evaluate_reward.py`` leaves out those whose true call cannot be read and
``aggregate_leaderboard.py`` counts them as wrong. On these files nothing can fail but generation itself, so all agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.completions import Completion, completion_text

_TAGS = ("think", "tool_call", "response")


def rows(path: str) -> list[dict[str, Any]]:
    """The rows of one level: ``prompt``, a system and a user message, and ``answer``, the true call as JSON text.

    Raises:
        ConfigError: a file in another form.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, list):
        raise ConfigError(f"{path} holds no list of rows")
    return [_row(entry, f"{path}, row {number}") for number, entry in enumerate(content)]


def _row(entry: Any, where: str) -> dict[str, Any]:
    match entry:
        case {"system": str(system), "user": str(user), "answer": {"name": str(), "parameters": dict()} as call}:
            pass
        case {"system": str(system), "user": str(user), "answer": [{"name": str(), "parameters": dict()} as call, *_]}:
            pass
        case _:
            raise ConfigError(f"{where}: not {{system, user, answer: {{name, parameters}}}}, as API-Bank has it")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"prompt": messages, "answer": json.dumps(call)}


def correct(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """1 if any call of the response is the true one in name and in all parameters; else 0.

    Calls are read from the first call block, one JSON value a line; lines that are not JSON are passed over. A value
    without name or without parameters is taken for the parameters of the true tool. Both as in the papers' scripts;
    ToolRL's also reads calls where there is no call block.

    Range: {0, 1}.

    Example:
        >>> truth = '{"name": "add", "parameters": {"a": 1}}'
        >>> correct([f"<tool_call>\\n{truth}\\n</tool_call>", truth], [truth, truth])
        [1.0, 0.0]
    """
    return [
        float(any(_equal(call, json.loads(truth)) for call in _calls(completion_text(completion))))
        for completion, truth in zip(completions, answer, strict=True)
    ]


def format(completions: Sequence[Completion], **_: Any) -> list[float]:
    """1 if a think block comes first, then a call block, a response block or both in this order; else 0.

    Each tag stands there at most once, and closed. Text between and after the blocks does no harm. This is laxer than
    the reward of that name (:func:`concord.rewards.toolrl.format`), which asks for the parts of the true answer.

    Range: {0, 1}.

    Example:
        >>> format(["<think>hm</think> <response>hello</response>", "<response>hello</response>"])
        [1.0, 0.0]
    """
    return [float(_well_formed(completion_text(completion))) for completion in completions]


def _calls(text: str) -> Iterator[Any]:
    _, opened, rest = text.partition("<tool_call>")
    block, closed, _ = rest.partition("</tool_call>")
    for line in block.splitlines() if opened and closed else ():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue


def _equal(call: Any, truth: dict[str, Any]) -> bool:
    named = isinstance(call, dict) and "name" in call and "parameters" in call
    found = (call["name"], call["parameters"]) if named else (truth["name"], call)
    return bool(found == (truth["name"], truth["parameters"]))


def _well_formed(text: str) -> bool:
    counts = {tag: (text.count(f"<{tag}>"), text.count(f"</{tag}>")) for tag in _TAGS}
    if any(opened != closed or opened > 1 for opened, closed in counts.values()):
        return False
    there = [tag for tag in _TAGS if counts[tag] == (1, 1)]
    places = [text.index(mark) for tag in there for mark in (f"<{tag}>", f"</{tag}>")]
    return "think" in there and len(there) > 1 and places == sorted(places)
