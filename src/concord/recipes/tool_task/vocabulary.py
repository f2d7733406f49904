"""What the built-in task talks about: seven tools, their parameters, and the values these take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int

VALUES: Mapping[str, tuple[Value, ...]] = {
    "city": (
        *("Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Tokyo", "Quito", "Berlin", "Madrid"),
        *("Vienna", "Lisbon", "Dublin", "Prague", "Athens", "Boston", "Geneva", "Nairobi", "Havana", "Sydney"),
    ),
    "person": (
        *("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ivan", "Julia"),
        *("Karl", "Laura", "Maria", "Noah", "Olga", "Peter", "Rosa", "Simon", "Tara", "Victor"),
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "currency": ("Euro", "Dollar", "Yen", "Pound", "Franc", "Peso"),
    "hour": tuple(range(15, 24)),
    "count": tuple(range(2, 15)),
    "minutes": tuple(range(5, 60, 5)),
    "amount": tuple(range(10, 100, 10)),
}
"""The values of each kind. Names and numbers, so that one token is the value in a request and in a call."""


@dataclass(frozen=True)
class Tool:
    """A tool: its name, the kind of value each parameter takes, and ways to ask for it in words.

    The last parameter is optional: a prompt may list the tool without it, and then a call must leave it out.
    """

    name: str
    parameters: Mapping[str, str]
    phrasings: tuple[str, ...]


TOOLS: tuple[Tool, ...] = (
    Tool(
        "weather",
        {"city": "city", "day": "day"},
        ("how is the weather in {city} on {day}", "on {day} is it warm in {city}"),
    ),
    Tool(
        "flight",
        {"origin": "city", "destination": "city", "day": "day"},
        ("fly from {origin} to {destination} on {day}", "a flight to {destination} from {origin} on {day}"),
    ),
    Tool(
        "hotel",
        {"city": "city", "nights": "count"},
        ("a room in {city} for {nights} nights", "stay {nights} nights in {city}"),
    ),
    Tool(
        "table",
        {"guests": "count", "hour": "hour"},
        ("a table for {guests} at {hour}", "at {hour} we eat with {guests}"),
    ),
    Tool(
        "meeting",
        {"person": "person", "day": "day", "hour": "hour"},
        ("meet {person} on {day} at {hour}", "on {day} at {hour} see {person}"),
    ),
    Tool(
        "reminder",
        {"person": "person", "minutes": "minutes"},
        ("remind {person} in {minutes} minutes", "in {minutes} minutes wake {person}"),
    ),
    Tool(
        "payment",
        {"person": "person", "amount": "amount", "currency": "currency"},
        ("pay {person} {amount} {currency}", "send {amount} {currency} to {person}"),
    ),
)
