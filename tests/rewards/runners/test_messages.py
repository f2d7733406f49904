"""What goes between a pool and its workers: frames, arguments, plain data, and an empty package to begin with."""

from __future__ import annotations

import asyncio
import enum
import math
import pickle
import socket
import sys
from collections import OrderedDict, namedtuple
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.core.status import FAILED
from concord.rewards.call import Reply
from concord.rewards.runners.answer import Answer, NoAnswer
from concord.rewards.runners.boot import defer
from concord.rewards.runners.packing import Unsendable, pack_arguments, pack_data, unpack_arguments, unpack_data
from concord.rewards.runners.plain import NotPlain, plain
from concord.rewards.runners.wire import Channel, Frame, Kind

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(DATA)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    assert repr(unpack_data(pack_data(plain(value)))) == repr(value)
    assert repr(unpack_arguments(pack_arguments({"value": value}))) == repr({"value": value})


class Text(str, enum.Enum):  # noqa: UP042  # the kind whose str() is not its value
    FINE = "fine"


Pair = namedtuple("Pair", "score note")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 2.0], [3.0, 4.0]]),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), 0.5),
        (np.array([1, 2]), [1, 2]),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (Fraction(1, 4), 0.25),
        (Text.FINE, "fine"),
        (enum.IntEnum("Number", {"TWO": 2}).TWO, 2),
        (Pair(1.0, None), (1.0, None)),
        (OrderedDict(score=[1, "a\ud800"]), {"score": [1, "a\ud800"]}),
    ],
    ids=repr,
)
def test_numbers_of_all_sorts_become_pythons(value: Any, expected: Any) -> None:
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1j, "result is of type complex"),
        ({"scores": (1, {2})}, "result['scores'][1] is of type set"),
        ([1, iter(())], "result[1] is of type tuple_iterator"),
        ({(1, object()): 2}, "a key of result[1] is of type object"),
        (nested(100_000), "is nested too deeply"),
    ],
    ids=["complex", "set", "iterator", "key", "deep"],
)
def test_what_is_not_plain_is_named(value: Any, message: str) -> None:
    with pytest.raises(NotPlain) as error:
        plain(value, "result")
    assert str(error.value).endswith(message)


def test_decimal_numbers_are_numbers() -> None:
    assert plain([Decimal("0.5"), {"score": Decimal(2)}]) == [0.5, {"score": 2.0}]
    assert math.isnan(plain(Decimal("sNaN")))


def test_forged_answers_are_no_answers() -> None:
    well = Answer(Reply(1.0), {}).pack()
    assert Answer.unpack(well).reply.value == 1.0
    forged = [
        b"", b"nonsense", well[:-3], pickle.dumps(print), pack_data(None), pack_data((1, 2)),
        pack_data((1.0, "scored", None, None, None, {})), pack_data((1.0, None, 3, None, None, {})),
        pack_data((1.0, None, None, None, None, [])),
    ]  # fmt: skip
    for body in forged:
        with pytest.raises(NoAnswer, match="the worker sent what is not an answer"):
            Answer.unpack(body)


def test_nan_and_infinities_are_numbers() -> None:
    assert repr(plain([math.nan, -math.inf])) == "[nan, -inf]"


def test_a_tensor_among_the_arguments_arrives_as_a_tensor() -> None:
    arguments = unpack_arguments(pack_arguments({"ids": torch.arange(3), "array": np.ones(2)}))
    assert torch.equal(arguments["ids"], torch.arange(3))
    assert arguments["array"].tolist() == [1.0, 1.0]


def test_the_pool_builds_no_object_that_a_worker_names() -> None:
    with pytest.raises(pickle.UnpicklingError, match="plain data only"):
        unpack_data(pickle.dumps(Path("x")))


def test_a_generator_is_no_argument() -> None:
    with pytest.raises(Unsendable, match="argument 'answers' \\(generator\\)"):
        pack_arguments({"answers": (n for n in range(3))})


def test_a_long_exception_is_cut() -> None:
    try:
        raise ValueError("x" * 10**7)
    except ValueError as error:
        packed = Answer(Reply(status=FAILED, error="ValueError", exception=error), {}).pack()
    assert len(packed) < 50_000
    assert str(Answer.unpack(packed).reply.exception).endswith("xxx\n")


def test_frames_of_any_size_pass_each_other() -> None:
    frames = [Frame(Kind.CALL, 7, b"x" * size) for size in (0, 1, 3_000_000)]

    async def exchange() -> list[list[Frame | None]]:
        ends = socket.socketpair()
        with ends[0], ends[1]:
            a, b = map(Channel, ends)

            async def receive(channel: Channel) -> list[Frame | None]:
                return [await channel.receive() for _ in frames]

            received = asyncio.gather(receive(a), receive(b))
            await asyncio.gather(*(channel.send(*frame) for channel in (a, b) for frame in frames))
            return await received

    assert asyncio.run(exchange()) == [frames, frames]


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x03", b"\x03" + bytes(11) + b"\x09half", b"\xff" * 13, b"\x09" + bytes(12)],
    ids=["nothing", "half a header", "half a body", "more than any body", "no such kind"],
)
def test_what_is_not_a_frame_ends_the_conversation(sent: bytes) -> None:
    async def receive() -> Frame | None:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                theirs.sendall(sent)
            return await Channel(ours).receive()

    assert asyncio.run(receive()) is None


def test_a_deferred_package_runs_when_it_is_asked_for_more_than_its_modules(tmp_path: Path) -> None:
    folder = tmp_path / "heavy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from heavy_package.light import SMALL\nLARGE = SMALL * 100\n")
    (folder / "light.py").write_text("SMALL = 1\n")
    try:
        defer("heavy_package", folder)
        package = sys.modules["heavy_package"]
        from heavy_package.light import SMALL  # type: ignore[import-not-found]

        assert SMALL == 1
        assert "LARGE" not in vars(package)
        from heavy_package import LARGE

        assert LARGE == 100
        assert package.SMALL == 1
        with pytest.raises(AttributeError, match="has no attribute 'HUGE'"):
            _ = package.HUGE
    finally:
        for name in ("heavy_package", "heavy_package.light"):
            sys.modules.pop(name, None)
