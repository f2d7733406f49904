"""The pictures are drawn, and the numbers that pages take from them are those that are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts import figures

from tests.examples.pages import ROOT


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> str:
    for draw in figures.FIGURES.values():
        draw()
    return capsys.readouterr().out


def test_the_numbers_of_the_concepts_are_those_that_the_script_prints(said: str) -> None:
    page = (ROOT / "docs" / "concepts" / "conflict.md").read_text()
    rows = re.findall(r"correlation (\S+): (\d+)% cancels, (\d+)% mixed; at tau 0.8 (\d+)% kept, (\S+)% cancels", said)
    assert len(rows) == 3
    for correlation, *shares in rows:
        name = "0" if float(correlation) == 0 else correlation
        assert f"| {name} | " + " | ".join(f"{share} %" for share in shares) + " |" in page
    assert "correlation -0.4, 192 rollouts, 52% dropped" in said
    assert "52 % fall into it" in page
    assert "46% of its signal cancelled, 5 of 8 mixed" in said
    assert "Here 46 %." in page
    assert "kept [5, 3, 2] of 6" in said
    assert "keeps 5, 3 and 2 of six" in (ROOT / "docs" / "concepts" / "stages.md").read_text()


def test_the_numbers_on_numerics_are_those_that_the_script_prints(said: str) -> None:
    page = (ROOT / "docs" / "concepts" / "numerics.md").read_text()
    gain = dict(re.findall(r"(\d+): (\d+\.\d+)", said))
    assert (round(float(gain["4"]), 1), round(float(gain["1"]), 1)) == (3.0, 6.0)
    assert "3.0 where 4 of 32 groups speak, 6.0 where one" in page
    assert "up to 1.25 as published, 0.0 under a floor" in said
    assert "up to 1.25." in page


def test_a_picture_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        figures.save(figures.silence(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
