"""A console, logs, warnings and tracebacks that other people's text cannot control."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterable
from logging import LogRecord, setLogRecordFactory
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from concord.core.printable import printable_lines


class EscapingConsole(Console):
    """A console whose texts cannot control the terminal; styles and progress bars, which are rich's own, still do."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text), **options)  # before a table measures it

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


def escape_process_output() -> None:
    """Escape what this process logs, warns of, and says of an exception that nobody catches."""
    setLogRecordFactory(_EscapedRecord)
    plain = warnings.formatwarning

    def formatted(*about: Any, **more: Any) -> str:
        return printable_lines(plain(*about, **more))

    warnings.formatwarning = formatted
    sys.excepthook = _show_exception


class _EscapedRecord(LogRecord):
    """What is logged, as text that no terminal obeys."""

    def getMessage(self) -> str:  # noqa: N802 (logging's own name)
        return printable_lines(super().getMessage())


def _show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(printable_lines("".join(traceback.format_exception(kind, error, trace))))
