"""Ways to spoil what is read: values, records, bytes; all drawn from a generator of random numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

HOSTILE_TEXTS = (
    "",
    "\x00",
    "\x1b]0;TITLE\x07",
    "\x9b2J",
    "\u202egnp.exe",
    "\ud800",
    "NaN",
    "null",
    "1" * 5000,
    "1e999",
    "np.float64(1)",
    "tensor(0.5, dtype=torch.float64)",
    "[]",
    "{",
    '"x"',
    "a_b_0",
    "[" * 2000,
    "x" * 20_000,
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\U000e0041\u200b\u2028",
)

HOSTILE_NUMBERS = (0, -0.0, 5e-324, -5e-324, 1e-310, 1e38, 1.7e308, -1.7e308, 2**63, -(2**63), 10**400, 1e400, -1e400)

NOT_UTF8 = ("utf-16", "utf-8-sig", "latin-1", "utf-7", "utf-32")


def junk(rng: Random, depth: int = 0) -> Any:
    """A value that a field does not expect."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice(HOSTILE_NUMBERS)
    if kind == 2:
        return rng.choice((float("nan"), float("inf"), rng.random(), rng.randrange(-5, 5)))
    if kind in (3, 4):
        return rng.choice(HOSTILE_TEXTS)
    if kind == 5:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {rng.choice(("role", "content", "", "\x1b[2J", "a")): junk(rng, depth + 1) for _ in range(3)}
    nested: Any = 1
    for _ in range(rng.choice((5, 50, 250))):
        nested = [nested] if rng.random() < 0.7 else {"content": nested}
    return nested


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a record, itself left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*above, key)
        yield from places(item, (*above, key))


def spoil(rng: Random, record: dict[str, Any]) -> dict[str, Any]:
    """A copy with some values replaced, taken away, swapped, or put under names that nobody expects."""
    made = copy.deepcopy(record)
    for _ in range(rng.randrange(4)):
        found = list(places(made))
        if not found:
            break
        *above, last = rng.choice(found)
        inside: Any = made
        for key in above:
            inside = inside[key]
        what = rng.randrange(5)
        if what <= 2:
            inside[last] = junk(rng)
        elif isinstance(inside, dict) and what == 3:
            inside.pop(last)
        elif isinstance(inside, dict):
            inside[rng.choice(HOSTILE_TEXTS)] = inside.pop(last)
    return made


def line(rng: Random, record: dict[str, Any]) -> bytes:
    """A record as a line of JSON, which may be torn, hold a key twice, or be in another encoding."""
    try:
        text = json.dumps(record, ensure_ascii=rng.random() < 0.5)
    except RecursionError:
        text = "[" * 5000
    if rng.random() < 0.05 and text.startswith("{") and record:
        key = rng.choice(list(record))
        text = f"{{{json.dumps(key)}: {rng.choice(('1', 'null', '[]', 'NaN'))}, {text[1:]}"
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.03:
        data = text.encode(rng.choice(NOT_UTF8), "replace")
    return damage(rng, data, 0.15).replace(b"\n", b" ") + b"\n"


def damage(rng: Random, data: bytes, share: float = 1.0) -> bytes:
    """Bytes flipped, cut out, put in, or cut off; in a ``share`` of cases."""
    if not data or rng.random() >= share:
        return data
    what, made = rng.randrange(4), bytearray(data)
    at = rng.randrange(len(made))
    if what == 0:
        for _ in range(rng.randrange(1, 9)):
            made[rng.randrange(len(made))] = rng.randrange(256)
    elif what == 1:
        del made[at : at + rng.randrange(1, 64)]
    elif what == 2:
        made[at:at] = rng.randbytes(rng.randrange(1, 64))
    else:
        del made[at:]
    return bytes(made)
