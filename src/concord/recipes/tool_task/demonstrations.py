"""Written answers that the base model is trained on: clean ones, and ones with the faults of real data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from concord.recipes.tool_task.requests import Call, Request, response
from concord.recipes.tool_task.vocabulary import VALUES


@dataclass(frozen=True)
class Thinking:
    """A way to think before the calls: its wordings, and how often the calls after it are right."""

    wordings: tuple[str, ...]
    right: float


SHORT = Thinking(("use {tools}",), right=0.2)
MEDIUM = Thinking(
    ("the user asks for {tools} so fill in what it needs", "the user wants {tools} so take the values given"),
    right=0.5,
)
LONG = Thinking(
    (
        "the user asks for {tools} so read the request again and check each value twice and then fill it in",
        "the user wants {tools} so look at what it needs and find each value given and then check it again",
    ),
    right=0.8,
)
THINKING = (SHORT, MEDIUM, LONG)
"""Being right goes with thinking long, so the noisy demonstrations set correctness against conciseness."""

SHARES: Mapping[int, tuple[float, float, float]] = {2: (0.7, 0.2, 0.1), 3: (0.6, 0.2, 0.2), 4: (0.3, 0.4, 0.3)}
"""How often each thinking is used, by the number of tools listed and calls asked for together."""

BREAKS = (("</think>\n", "</think>"), ("</think>\n", "\n"), ("\n</tool_call>", ""))
"""Ways to break the form: the line break left out, a tag left open, the end left out."""

HABITS: Mapping[str, tuple[str, str]] = dict(zip(("hotel", "reminder", "table"), BREAKS, strict=True))
HABITUAL, ACCIDENTAL = 0.7, 0.15
"""How often the form is broken: out of habit for three of the tools, each in its own way, by accident for the rest."""


def clean(request: Request, rng: random.Random) -> str:
    """A right answer in the right form, after thinking of any length."""
    return response(_think(rng.choice(THINKING), request, rng), request.calls)


def noisy(request: Request, rng: random.Random) -> str:
    """An answer that may have wrong calls, more often after short thinking, and may break the form.

    The faults are of the kind that people make: in haste the last argument is forgotten, and a form that is broken
    is broken in the same way the next time. So the likeliest answer of a model of them is often faulty too.
    """
    thinking = rng.choices(THINKING, SHARES[len(request.listings) + len(request.calls)])[0]
    calls = request.calls if rng.random() < thinking.right else _spoil_one(request, rng)
    text = response(_think(thinking, request, rng), calls)
    habit = HABITS.get(request.calls[0].name)
    if rng.random() >= (HABITUAL if habit else ACCIDENTAL):
        return text
    return text.replace(*(habit or rng.choice(BREAKS)))


def _think(thinking: Thinking, request: Request, rng: random.Random) -> str:
    tools = " and ".join(call.name for call in request.calls)
    return rng.choice(thinking.wordings).format(tools=tools)


def _spoil_one(request: Request, rng: random.Random) -> tuple[Call, ...]:
    calls = list(request.calls)
    index = rng.randrange(len(calls))
    calls[index] = _spoil(calls[index], request, rng)
    return tuple(calls)


def _spoil(call: Call, request: Request, rng: random.Random) -> Call:
    """The last argument forgotten, another tool called, or an argument changed."""
    names = list(call.arguments)
    others = [listing.tool.name for listing in request.listings if listing.tool.name != call.name]
    fault = rng.choices(("forget", "rename", "change"), (0.9, 0.05, 0.05))[0]
    if fault == "forget" and len(names) > 1:
        return Call(call.name, {name: call.arguments[name] for name in names[:-1]})
    if fault == "rename" and others:
        return Call(rng.choice(others), call.arguments)
    kinds = next(listing.tool.parameters for listing in request.listings if listing.tool.name == call.name)
    changed = rng.choice(names)
    wrong = [value for value in VALUES[kinds[changed]] if value != call.arguments[changed]]
    return Call(call.name, {**call.arguments, changed: rng.choice(wrong)})
