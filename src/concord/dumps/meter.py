"""How far reading has come, and how much a file may unfold to."""

from __future__ import annotations


class Meter:
    """Bytes read of all files; a file that is done counts whole.

    Attributes:
        position: so far.
    """

    def __init__(self) -> None:
        self.position = 0
        self._start = 0
        self._size = 0

    def open(self, size: int) -> None:
        """The next file begins; the one before is done."""
        self._start += self._size
        self._size = size
        self.position = self._start

    def at(self, offset: int) -> None:
        """So many bytes into the file."""
        self.position = self._start + min(offset, self._size)

    def close(self) -> None:
        """The file is done."""
        self.position = self._start + self._size


PER_BYTE = 1024
"""Characters that one byte of a file may stand for; repeated texts are stored once, and compressed."""

LEAST = 2**28
"""Characters that even the smallest file may stand for."""

VALUE = 64
"""Characters that a value counts for, beside its own."""

BEYOND = f"beyond the {PER_BYTE:,} characters that a byte of a file may stand for (a value counts for {VALUE})"
"""Why something of a file was left out."""


class Allowance:
    """What may still come out of a file: in proportion to its bytes, so that a small file cannot fill the memory.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._left = max(LEAST, PER_BYTE * size)

    def spend(self, values: int, characters: int = 0) -> bool:
        """Take so much; False once there is none left."""
        self._left -= VALUE * values + characters
        return self._left >= 0
