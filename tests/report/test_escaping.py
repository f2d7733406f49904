"""Nothing that somebody else wrote controls the terminal."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table

from concord.core.printable import printable, printable_lines
from concord.report import escaping
from concord.report.escaping import EscapingConsole, escape_process_output

TITLE = "\x1b]0;TITLE\x07"
HOSTILE = f"a{TITLE}\x9b2J\u202eexe\ud800\u2028b"


@pytest.fixture
def escaped_process() -> Iterator[None]:
    factory, plain, hook = logging.getLogRecordFactory(), warnings.formatwarning, sys.excepthook
    escape_process_output()
    yield
    logging.setLogRecordFactory(factory)
    warnings.formatwarning, sys.excepthook = plain, hook


def test_every_character_that_controls_is_written_as_its_code() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        hidden = unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in "\u200c\u200d"
        assert (printable(char) != char) == hidden
        assert (printable_lines(char) != char) == (hidden and char not in "\n\t")


def test_several_lines_stay_several() -> None:
    assert printable_lines(f"a\r\nb\t{TITLE}\rc") == "a\nb\t\\x1b]0;TITLE\\x07\\rc"
    assert printable("a\nb") == "a\\nb"


def test_a_console_escapes_text_wherever_it_stands_and_keeps_its_own_styles() -> None:
    out = io.StringIO()
    console = EscapingConsole(file=out, force_terminal=True, width=60, highlight=False)
    table = Table(HOSTILE)
    table.add_row(f"[red]x[/] {TITLE}")
    console.print(table)
    console.print(f"[bold]{HOSTILE}[/]", soft_wrap=True)
    console.rule(TITLE)
    with Progress(console=console) as bar:
        bar.add_task(TITLE, total=1)
    shown = out.getvalue()
    assert "\x1b]0" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "\x9b" not in shown
    assert "\\x1b]0;TITLE\\x07\\x9b2J\\u202eexe\\ud800\\u2028b" in shown
    assert shown.count("\\x1b]0;TITLE\\x07\\x9b2J") == 2  # the table has made room for it
    assert "\x1b[1m" in shown  # bold, which is the console's own


def test_what_is_logged_warned_and_raised(escaped_process: None, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(out := io.StringIO())
    logger = logging.getLogger("tests.escaping")
    logger.addHandler(handler)
    logger.warning("cannot read %s", HOSTILE)
    logger.removeHandler(handler)
    assert out.getvalue().startswith("cannot read a\\x1b]0;TITLE\\x07")
    assert "\\x1b]0" in warnings.formatwarning(HOSTILE, UserWarning, "f.py", 1)
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    said = capsys.readouterr().err
    assert "\\x1b]0" in said
    assert "\x1b" not in said
    assert "Traceback" in said


def test_the_command_line_escapes_names_in_its_errors(tmp_path: Path) -> None:
    name = f"a{TITLE}.jsonl"
    (tmp_path / name).write_text("no dump\n")
    made = subprocess.run(
        [sys.executable, "-m", "concord", "diagnose", name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert "\x1b" not in made.stderr
    assert "\\x1b]0;TITLE" in made.stderr


def test_there_is_one_function() -> None:
    """Whoever prints imports it; nobody has one of their own."""
    source = Path(escaping.__file__).parents[1]
    own = [
        file for file in source.rglob("*.py") if "unicode_escape" in file.read_text() and file.name != "printable.py"
    ]
    assert not own
