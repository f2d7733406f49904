"""Requests in words, the calls they ask for, and seeded splits that share no request."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.recipes.tool_task.vocabulary import TOOLS, VALUES, Tool, Value

_HELD_OUT = 5  # one request in five belongs to the test split
_TWO_CALLS = 0.15  # share of the requests that ask for two things
_OPTIONAL_LEFT_OUT = 0.3  # how often a tool is listed without its last parameter


@dataclass(frozen=True)
class Listing:
    """A tool as a prompt lists it: with the parameters that a call may fill."""

    tool: Tool
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.tool.name}({','.join(self.parameters)})"


@dataclass(frozen=True)
class Call:
    """A tool call: the tool's name and its arguments."""

    name: str
    arguments: Mapping[str, Value]

    def __str__(self) -> str:
        return json.dumps({"name": self.name, "parameters": dict(self.arguments)})


@dataclass(frozen=True)
class Request:
    """The tools a prompt lists, the request in words, and the calls it asks for."""

    listings: tuple[Listing, ...]
    words: str
    calls: tuple[Call, ...]

    @property
    def prompt(self) -> str:
        """The user's message: the tools in one line, the request in the next."""
        return f"{' '.join(map(str, self.listings))}\n{self.words}"


def response(thinking: str, calls: Sequence[Call]) -> str:
    """An answer in the form the task asks for; the calls are one JSON object a line."""
    lines = "\n".join(map(str, calls))
    return f"<think>{thinking}</think>\n<tool_call>\n{lines}\n</tool_call>"


def sample_request(rng: random.Random, split: str) -> Request:
    """Draw one request of ``split``.

    A request belongs to a split by the tool and the values it names, whatever its wording and its listing,
    so no drawing of one split can meet a drawing of the other.
    """
    asked = rng.sample(TOOLS, 2 if rng.random() < _TWO_CALLS else 1)
    others = rng.sample([tool for tool in TOOLS if tool not in asked], rng.randint(0, 2) if len(asked) == 1 else 0)
    listings = [_list_tool(tool, rng) for tool in asked + others]
    arguments = [_sample_arguments(tool, rng, split) for tool in asked]
    words = " and ".join(
        rng.choice(tool.phrasings).format(**values) for tool, values in zip(asked, arguments, strict=True)
    )
    calls = tuple(
        Call(listing.tool.name, {name: values[name] for name in listing.parameters})
        for listing, values in zip(listings, arguments, strict=False)
    )
    return Request(tuple(rng.sample(listings, len(listings))), words, calls)


def rows(split: str, size: int, seed: int = 0) -> list[dict[str, Any]]:
    """``size`` rows of the task, as TRL takes them: ``prompt`` (messages) and ``answer`` (a full right answer).

    The same ``split``, ``size`` and ``seed`` give the same rows, and a longer list starts with the shorter one.
    The splits share no request: one in five belongs to "test", by a checksum of the tool and values asked for.

    Raises: ValueError for another split or a negative size.

    >>> row = rows("train", 1)[0]
    >>> sorted(row), row["prompt"][0]["role"]
    (['answer', 'prompt'], 'user')
    """
    if split not in ("train", "test"):
        raise ValueError(f'the built-in task has the splits "train" and "test", not {split!r}')
    if size < 0:
        raise ValueError(f"size is the number of rows and cannot be negative: {size}")
    rng = random.Random(f"{split} {seed}")
    drawn = (sample_request(rng, split) for _ in range(size))
    return [
        {
            "prompt": [{"role": "user", "content": request.prompt}],
            "answer": response(f"use {' and '.join(call.name for call in request.calls)}", request.calls),
        }
        for request in drawn
    ]


def _list_tool(tool: Tool, rng: random.Random) -> Listing:
    names = tuple(tool.parameters)
    return Listing(tool, names[:-1] if rng.random() < _OPTIONAL_LEFT_OUT else names)


def _sample_arguments(tool: Tool, rng: random.Random, split: str) -> dict[str, Value]:
    """Values for every parameter, all different, redrawn until they belong to ``split``."""
    while True:
        values = {name: rng.choice(VALUES[kind]) for name, kind in tool.parameters.items()}
        checksum = zlib.crc32(str(Call(tool.name, values)).encode())
        held_out = checksum % _HELD_OUT == 0
        if held_out == (split == "test") and len(set(values.values())) == len(values):
            return values
