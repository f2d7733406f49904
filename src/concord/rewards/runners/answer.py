"""What came of a call in a worker, on its way to the pool."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import NamedTuple

from concord.core.status import FAILED, TIMED_OUT
from concord.rewards.call import Reply
from concord.rewards.runners.calling import raised
from concord.rewards.runners.hooks import Log
from concord.rewards.runners.packing import pack_data, unpack_data
from concord.rewards.runners.plain import plain

LONGEST_TRACEBACK = 20_000
"""Characters that are kept, from the end."""


class RemoteError(Exception):
    """Stands for an exception raised in a worker; its text is the traceback there."""

    def __str__(self) -> str:
        return f"raised in a worker:\n\n{self.args[0]}"


class NoAnswer(Exception):
    """A worker sent what is not an answer; whoever wrote it had the worker's socket."""


class Answer(NamedTuple):
    """A reply, and what the call logged before."""

    reply: Reply
    log: Log

    def pack(self) -> bytes:
        """The answer as bytes; one that cannot be sent turns into a failure that says so."""
        reply, text = self.reply, None if self.reply.exception is None else traceback_text(self.reply.exception)
        try:
            value, log = plain(reply.value, "result"), plain(self.log, "log")
            return pack_data((value, reply.status, reply.error, reply.place, text, log))
        except Exception as error:  # not plain data; or a tensor that fails at giving its numbers
            refusal = f"cannot be sent from the worker: {error}; return numbers, text, lists and dicts"
            return pack_data((None, FAILED, refusal, None, None, {}))

    @classmethod
    def unpack(cls, body: bytes) -> Answer:
        """The answer in the pool's process, with a :class:`RemoteError` for an exception.

        Raises:
            NoAnswer: the bytes are not those of an answer.
        """
        try:
            value, status, error, place, text, log = unpack_data(body)
            texts = all(entry is None or isinstance(entry, str) for entry in (error, place, text))
            if not (texts and status in (None, FAILED, TIMED_OUT) and isinstance(log, dict)):
                raise NoAnswer("its fields are not an answer's")
        except Exception as fault:  # whatever hostile bytes make of the unpickler
            raise NoAnswer(f"the worker sent what is not an answer ({raised(fault).error})") from fault
        reply = Reply(value, status, error, place=place)
        return cls(replace(reply, exception=RemoteError(text)) if text else reply, log)


def traceback_text(error: BaseException) -> str:
    """Where and why an exception was raised, as Python prints it."""
    try:
        return "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
    except Exception:  # an exception may fail at saying what went wrong
        return type(error).__name__
