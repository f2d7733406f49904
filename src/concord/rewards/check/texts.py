"""What a policy may write: nothing, far too much, and text that breaks careless code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from concord.rewards.check.finding import FAULT, WARNING
from concord.rewards.completions import Completion

LONG, VERY_LONG = 100_000, 1_000_000
"""Characters: about the longest rollout that engines make (32k tokens), and ten times that."""


@dataclass(frozen=True, eq=False)
class Case:
    """A completion that a reward function should take like any other.

    Attributes:
        check: ``empty``, ``long`` or ``hostile``.
        name: what it is, for people.
        completion: text or messages.
        verdict: what it means if the function fails on it; a warning for what a tokenizer never writes.
    """

    check: str
    name: str
    completion: Completion
    verdict: str = FAULT


def cases(chat: bool, tools: bool = False) -> list[Case]:
    """All of them; as messages for a function that is given ``chat``.

    A message that calls a tool has no text. Where the data use ``tools`` a policy writes it; elsewhere it cannot.

    Example:
        >>> [case.name for case in cases(chat=False)][:3]
        ['no text', 'white space', '100,000 characters']
    """
    texts = [Case("empty", "no text", ""), Case("empty", "white space", " \n\t \n"), *_long(), *_hostile()]
    if not chat:
        return texts
    call: dict[str, Any] = {"type": "function", "function": {"name": "find", "arguments": {}}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    silent = Case("empty", "a tool call without text", [message], FAULT if tools else WARNING)
    spoken = [
        Case(case.check, case.name, [{"role": "assistant", "content": case.completion}], case.verdict) for case in texts
    ]
    return [silent, *spoken]


def _long() -> list[Case]:
    sentence = "So the answer is 42, and I check it once more. "
    return [
        Case("long", f"{size:,} characters", (sentence * (size // len(sentence) + 1))[:size], verdict)
        for size, verdict in ((LONG, FAULT), (VERY_LONG, WARNING))
    ]


def _hostile() -> list[Case]:
    texts = {
        "control characters": "\x00\x07\x1b[31m\x7f 42",
        "odd line ends": "4\r2\x0b\x0c\x85\u2028\u2029",
        "right-to-left marks": "\u202e42\u202c \u200f\u2067answer\u2069",
        "stacked accents": "e" + "\u0301" * 1000 + "\u200b\ufeff",
        "emoji": "👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 4\ufe0f\u20e32\ufe0f\u20e3",
        "10,000 open brackets": "[" * 10_000,
        "10,000 open braces": '{"a":' * 10_000,
        "tags never closed": "<think><answer>" * 1000,
        "tags in the wrong order": "</answer></think>42<answer><think>",
        "50,000 a and a !": "a" * 50_000 + "!",
        "50,000 spaces and an x": " " * 50_000 + "x",
        "markup and SQL": "'; DROP TABLE rewards; -- <script>alert(1)</script> &amp; <![CDATA[",
        "format strings": "{0} {answer} {answer.__class__} %s %(answer)s %n ${HOME} {{",
        "unusual JSON": '{"answer": NaN, "answer": 1e999, "name": null, "arguments": []}',
        "a program that ends": "exit(3)",
        "a fenced program that ends": "```python\nraise SystemExit(3)\n```",
        **_NUMBERS,
        **{f"{name}, marked as the answer": _marked(number) for name, number in _NUMBERS.items()},
    }
    surrogate = Case("hostile", "half a surrogate pair", "\ud83d 42 \udc00", WARNING)
    return [*(Case("hostile", name, text) for name, text in texts.items()), surrogate]


_NUMBERS = {"not a number": "nan", "an infinite number": "1e999", "a number of 5,000 digits": "9" * 5000}


def _marked(number: str) -> str:
    return f"<think>\nhm\n</think>\n<answer>{number}</answer>\n\\boxed{{{number}}}\n#### {number}"
