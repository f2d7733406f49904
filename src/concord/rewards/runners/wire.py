"""Messages between a pool and a worker: frames on a socket.

A frame is a kind, the number of the call it is about, and a body. In order:

    pool -> worker    SET_UP    what to load
    worker -> pool    READY     or BROKEN, and why
    pool -> worker    CALL      arguments; several at once where the function is a coroutine function
    worker -> pool    BEGUN     the function is being called from now on
    worker -> pool    ANSWER    what came of it

Both sides read while they write, so that two large messages can pass each other.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from typing import NamedTuple

LARGEST = 1 << 32
"""Bytes in a body; a header that announces more is not one of ours."""

_HEADER = struct.Struct("!BIQ")


class Kind(enum.IntEnum):
    """What a frame says."""

    SET_UP, READY, BROKEN, CALL, BEGUN, ANSWER = range(6)


class Frame(NamedTuple):
    """One message."""

    kind: Kind
    call: int
    body: bytes


class Channel:
    """One end of a connection, within one event loop."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._sending = asyncio.Lock()

    async def send(self, kind: Kind, call: int = 0, body: bytes = b"") -> None:
        """Send a frame whole, after those that others are sending.

        Raises:
            OSError: the other end is gone.
        """
        loop = asyncio.get_running_loop()
        async with self._sending:
            await loop.sock_sendall(self._connection, _HEADER.pack(kind, call, len(body)))
            await loop.sock_sendall(self._connection, body)

    async def receive(self) -> Frame | None:
        """The next frame; None where the other end is gone, or sends what is not a frame."""
        try:
            kind, call, size = _HEADER.unpack(await self._read(_HEADER.size))
            return Frame(Kind(kind), call, await self._read(size)) if size <= LARGEST else None
        except (EOFError, OSError, ValueError):
            return None

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        buffer = bytearray(size)
        filled = 0
        while filled < size:
            got = await loop.sock_recv_into(self._connection, memoryview(buffer)[filled:])
            if got == 0:
                raise EOFError
            filled += got
        return bytes(buffer)
