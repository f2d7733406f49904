"""How far reading has come."""

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
