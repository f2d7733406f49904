"""Written answers that the base model is trained on: clean ones, and ones with the faults of real data."""

from __future__ import annotations

import random
from dataclasses import dataclass

from concord.recipes.tool_task.requests import Call, Request, response
from concord.recipes.tool_task.vocabulary import VALUES


@dataclass(frozen=True)
class Thinking:
    """A way to think: its wordings, how often it is used, and how often the calls after it are right."""

    wordings: tuple[str, ...]
    share: float
    right: float


THINKING: tuple[Thinking, ...] = (
    Thinking(("use {tools}", "call {tools}"), share=0.4, right=0.30),
    Thinking(
        ("the user asks for {tools} so fill in what it needs", "the user wants {tools} so take the values given"),
        share=0.35,
        right=0.60,
    ),
    Thinking(
        (
            "the user asks for {tools} so read the request again and check each value twice and then fill it in",
            "the user wants {tools} so look at what it needs and find each value given and then check it again",
        ),
        share=0.25,
        right=0.85,
    ),
)
"""Short, medium and long. Being right goes with being long, so the data sets correctness against conciseness."""


def clean(request: Request, rng: random.Random) -> str:
    """A right answer in the right form, after thinking of any length."""
    return response(_think(rng.choice(THINKING), request, rng), request.calls)


def noisy(request: Request, rng: random.Random) -> str:
    """An answer that may have wrong calls, more often after short thinking, and may break the form."""
    thinking = rng.choices(THINKING, [style.share for style in THINKING])[0]
    calls = request.calls if rng.random() < thinking.right else _spoil_one(request, rng)
    text = response(_think(thinking, request, rng), calls)
    return _break_form(text, rng) if rng.random() < BROKEN else text


BROKEN = 0.4
"""Share of the noisy demonstrations that break the form."""

_BREAKS = (
    ("</think>\n", "</think>"),
    ("</think>\n", "\n"),
    ("\n</tool_call>", ""),
)


def _think(thinking: Thinking, request: Request, rng: random.Random) -> str:
    tools = " and ".join(call.name for call in request.calls)
    return rng.choice(thinking.wordings).format(tools=tools)


def _spoil_one(request: Request, rng: random.Random) -> tuple[Call, ...]:
    calls = list(request.calls)
    index = rng.randrange(len(calls))
    calls[index] = _spoil(calls[index], request, rng)
    return tuple(calls)


def _spoil(call: Call, request: Request, rng: random.Random) -> Call:
    """The last argument forgotten, an argument changed, or another tool called."""
    names = list(call.arguments)
    fault = rng.choices(("forget", "change", "rename"), (0.5, 0.4, 0.1))[0]
    if fault == "forget" and len(names) > 1:
        return Call(call.name, {name: call.arguments[name] for name in names[:-1]})
    if fault == "rename" and len(request.listings) > 1:
        others = [listing.tool.name for listing in request.listings if listing.tool.name != call.name]
        return Call(rng.choice(others), call.arguments)
    kinds = next(listing.tool.parameters for listing in request.listings if listing.tool.name == call.name)
    changed = rng.choice(names)
    wrong = [value for value in VALUES[kinds[changed]] if value != call.arguments[changed]]
    return Call(call.name, {**call.arguments, changed: rng.choice(wrong)})


def _break_form(text: str, rng: random.Random) -> str:
    found, put = rng.choice(_BREAKS)
    return text.replace(found, put)
