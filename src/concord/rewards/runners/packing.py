"""Python objects as bytes, between a pool and its own worker processes; nothing of this is ever on disk.

To a worker goes whatever pickles: the worker runs the user's code with the user's rights as it is. What comes back is
plain data, read by an unpickler that knows no names and so can neither import nor call anything.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any, NoReturn

from concord.rewards.runners.calling import raised


class Unsendable(Exception):
    """Something cannot go from one process to the other; the message says what and why."""


def pack_arguments(arguments: Mapping[str, Any]) -> bytes:
    """Keyword arguments for a worker, each on its own, so that one at fault can be named.

    Raises:
        Unsendable: an argument does not pickle.

    Example:
        >>> unpack_arguments(pack_arguments({"answer": [4, 2]}))
        {'answer': [4, 2]}
        >>> pack_arguments({"answer": lambda: 4})
        Traceback (most recent call last):
        concord.rewards.runners.packing.Unsendable: argument 'answer' (function) cannot be sent to a worker: ...
    """
    packed = {}
    for name, value in arguments.items():
        try:
            packed[name] = pickle.dumps(value)
        except Exception as error:
            raise Unsendable(
                f"argument {name!r} ({type(value).__name__}) cannot be sent to a worker: {raised(error).error}"
            ) from error
    return pickle.dumps(packed)


def unpack_arguments(body: bytes) -> dict[str, Any]:
    """The arguments in a worker.

    Raises:
        Unsendable: an argument is of a class that the worker cannot import.
    """
    arguments = {}
    for name, value in _PlainUnpickler(io.BytesIO(body)).load().items():
        try:
            arguments[name] = pickle.Unpickler(io.BytesIO(value)).load()
        except Exception as error:
            raise Unsendable(f"argument {name!r} cannot be read in a worker: {raised(error).error}") from error
    return arguments


def pack_data(value: Any) -> bytes:
    """Plain data for the pool, see :func:`plain`."""
    return pickle.dumps(value)


def unpack_data(body: bytes) -> Any:
    """The result in the pool's process.

    Example:
        >>> unpack_data(pack_data((1.0, None)))
        (1.0, None)
        >>> unpack_data(pickle.dumps(print))
        Traceback (most recent call last):
        _pickle.UnpicklingError: builtins.print: a worker sends plain data only
    """
    return _PlainUnpickler(io.BytesIO(body)).load()


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name}: a worker sends plain data only")
