"""What rewards print while a command asks them: kept apart from its result, counted, and shown in part."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import TextIO

from concord.cli import output
from concord.core.printable import printable
from concord.core.redaction import redact

SHOWN = 4_000
"""Bytes of it that are kept to be shown."""

LINES = 20
"""Lines of it that are shown."""

WAIT = 1.0
"""Seconds to wait for what a process that outlives the asking may still print."""


class Printed:
    """Takes in all that is printed within a ``with``: by this process and those it starts, beneath Python too.

    Attributes:
        size: bytes printed.
        terminal: where this process' errors went before, for a progress bar.
    """

    size: int
    terminal: TextIO

    def __enter__(self) -> Printed:
        self.size, self._head = 0, b""
        output.flush()
        self._kept = os.dup(1), os.dup(2)
        self.terminal = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
        read, write = os.pipe()
        for descriptor in (1, 2):
            os.dup2(write, descriptor)
        # Whatever stands for the two streams in Python need not be the two descriptors.
        self._text = open(write, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._redirected = contextlib.ExitStack()
        self._redirected.enter_context(contextlib.redirect_stdout(self._text))
        self._redirected.enter_context(contextlib.redirect_stderr(self._text))
        self._reader = threading.Thread(target=self._read, args=(read,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._redirected.close()
        self._text.flush()
        output.flush()
        for descriptor, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, descriptor)
            os.close(kept)
        self._text.close()
        self.terminal.close()
        self._reader.join(WAIT)

    def excerpt(self) -> list[str]:
        """Return its first lines, without secrets and what a terminal obeys."""
        lines = self._head.decode("utf-8", "replace").splitlines()
        return [printable(redact(line)) for line in lines[:LINES]]

    def show(self) -> None:
        """Print the excerpt to stderr, with how much there was; nothing if nothing was printed."""
        if not self.size:
            return
        shown = self.excerpt()
        whole = len(self._head.splitlines()) <= LINES and self.size == len(self._head)
        title = f"the rewards printed {self.size:,} bytes" + ("" if whole else f"; the first {len(shown)} lines")
        print("\n".join([f"{title}:", *(f"  | {line}" for line in shown)]), file=sys.stderr)

    def _read(self, descriptor: int) -> None:
        with contextlib.closing(open(descriptor, "rb", buffering=0)) as pipe:
            while chunk := pipe.read(65_536):
                self.size += len(chunk)
                self._head += chunk[: SHOWN - len(self._head)]
