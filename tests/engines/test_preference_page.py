"""What the page on preference losses shows runs, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import concord

PAGE = (Path(__file__).parents[2] / "docs" / "preferences.md").read_text()


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        capsys.readouterr()
        exec(code, names)
        printed = capsys.readouterr().out
        for said in re.findall(r"print\(.*  # (.*)$", code, re.MULTILINE):
            assert printed.strip() == said


def test_it_names_every_preference_loss() -> None:
    for name in concord.names("*", "preference"):
        assert f"`{name}`" in PAGE
