"""The ToolRL reward for tool calling: three plain functions of text, and the same three for TRL.

A response reads

    <think> ... </think>
    <tool_call>
    {"name": ..., "parameters": {...}}          one call a line
    </tool_call>
    <response> ... </response>

with a call, a response, both or neither, as the ground truth has it.

Source: Qian et al. 2025, arXiv:2504.13958 (format and correctness); the length reward as scored by GD2PO,
arXiv:2606.16771. Agrees with the authors' scores on 400 responses (tests/golden/rlla_rewards.jsonl). We differ on
text that their samples do not hold: NaN and Infinity are not JSON here and score the minimum.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from concord.rewards.completions import Completion, completion_text

LONG_ENOUGH = 512
"""Words of thinking at which the length reward reaches 1."""

_THINK = r"<think>.*?</think>"
_CALL = r"\n<tool_call>\n.*?\n</tool_call>"
_RESPONSE = r"\n<response>.*?</response>"


class Call(NamedTuple):
    """One tool call: the name of the tool and its parameters."""

    name: str
    parameters: dict[str, Any]


def format_reward(response: str, answer: str) -> float:
    """1 if the response has exactly the parts that the ground truth has, each pair of tags once; else 0.

    The parts, one newline between them: the think block; the call block, its tags on lines of their own, if the
    answer holds ``<tool_call>``; the response block, if it holds ``<response>``. White space around the whole is
    ignored.

    Range: {0, 1}.

    Example:
        >>> format_reward("<think>hm</think>\\n<response>hello</response>", "<response>hi</response>")
        1.0
        >>> format_reward("<response>hello</response>", "<response>hi</response>")
        0.0
    """
    parts = {"think": _THINK}
    if "<tool_call>" in answer:
        parts["tool_call"] = _CALL
    if "<response>" in answer:
        parts["response"] = _RESPONSE
    # The count goes first: with every tag there once, the lazy patterns have one way to match and cannot backtrack.
    once = all(response.count(f"<{tag}>") == response.count(f"</{tag}>") == 1 for tag in parts)
    return float(once and re.fullmatch("".join(parts.values()), response.strip(), re.DOTALL) is not None)


def correctness_reward(response: str, answer: str) -> float:
    """How far the calls of the response are those of the ground truth, from -3 to 3.

        S     = J(names) + sum over true calls of the best, among unused predicted calls of the same name, of
                [J(parameter names) + number of true parameters with an equal value]
        S_max = 1 + sum over true calls of (1 + number of parameters)
        reward = 6 S / S_max - 3,     J(a, b) = overlap / (|a| + |b| - overlap) on multisets, 1 if equal

    Calls are read from the first call block, one JSON object a line; white space around the block is ignored. A
    ground truth without a call gives 0. No call block, a line that is not a call, or anything else at fault gives
    -3. Values are equal as Python's ``==`` has it: 1, 1.0 and true are one value.

    Range: [-3, 3].

    Example:
        >>> truth = '<tool_call>\\n{"name": "A", "parameters": {"x": 1, "y": 2}}\\n</tool_call>'
        >>> correctness_reward(truth, truth), correctness_reward(truth.replace("2", "5"), truth)
        (3.0, 1.5)
    """
    if "<tool_call>" not in answer:
        return 0.0
    try:
        truth, predicted = _calls(answer), _calls(response)
        return 3.0 if truth == predicted else 6 * _overlap(truth, predicted) / _most(truth) - 3
    except (ValueError, RecursionError):  # not a call; nested too deeply to read or to compare
        return -3.0


def length_reward(response: str, answer: str) -> float:
    """Words of thinking over 512, rounded to hundredths, at most 1; 0 without a think block.

        reward = min(1, round(words / 512, 2))

    It rewards long thinking. The answer plays no part; it is there so that the three functions are called alike.

    Range: [0, 1].

    Example:
        >>> length_reward("<think>" + "hm " * 64 + "</think>", "")
        0.12
    """
    thinking = _between(response, "think")
    return 0.0 if thinking is None else min(1.0, round(len(thinking.split()) / LONG_ENOUGH, 2))


def format(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """``format_reward`` in TRL's signature."""
    return [format_reward(completion_text(c), a) for c, a in zip(completions, answer, strict=True)]


def correctness(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """``correctness_reward`` in TRL's signature."""
    return [correctness_reward(completion_text(c), a) for c, a in zip(completions, answer, strict=True)]


def length(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """``length_reward`` in TRL's signature."""
    return [length_reward(completion_text(c), a) for c, a in zip(completions, answer, strict=True)]


def _between(text: str, tag: str) -> str | None:
    """The text between the first opening tag and the first closing tag after it."""
    _, opened, rest = text.partition(f"<{tag}>")
    inside, closed, _ = rest.partition(f"</{tag}>")
    return inside if opened and closed else None


def _calls(text: str) -> list[Call]:
    block = _between(text, "tool_call")
    if block is None:
        raise ValueError("no call block")
    return [_call(line) for line in block.strip().split("\n")]


def _call(line: str) -> Call:
    value = json.loads(line, parse_constant=_refuse)
    match value:
        case {"name": str(name), "parameters": dict(parameters)}:
            return Call(name, parameters)
    raise ValueError("not a call")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _overlap(truth: list[Call], predicted: list[Call]) -> float:
    """S of ``correctness_reward``."""
    total = _jaccard(Counter(call.name for call in truth), Counter(call.name for call in predicted))
    unused = list(predicted)
    for call in truth:
        scores = [_agreement(call, other) for other in unused]
        best = max(scores, default=0.0)
        if best > 0:
            total += best
            del unused[scores.index(best)]
    return total


def _agreement(truth: Call, predicted: Call) -> float:
    if truth.name != predicted.name:
        return 0.0
    shared = truth.parameters.keys() & predicted.parameters.keys()
    equal = sum(bool(truth.parameters[key] == predicted.parameters[key]) for key in shared)
    return _jaccard(Counter(truth.parameters.keys()), Counter(predicted.parameters.keys())) + equal


def _jaccard(a: Counter[str], b: Counter[str]) -> float:
    """Overlap over union of two multisets; 1 if equal, also if both are empty."""
    return 1.0 if a == b else (a & b).total() / (a | b).total()


def _most(truth: list[Call]) -> int:
    """S_max of ``correctness_reward``."""
    return 1 + sum(1 + len(call.parameters) for call in truth)
