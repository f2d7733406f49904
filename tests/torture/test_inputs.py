"""A few cases of every kind of the campaign, which by itself runs as long as it is told to."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from scripts.torture import inputs
from scripts.torture.inputs import KINDS, Campaign, main

from concord.core.errors import ConfigError


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_of_each_kind(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kind", kind, "--count", "2" if kind == "programs" else "6", "--seed", "1"]) == 0
    assert "FAULT" not in capsys.readouterr().out


def test_a_fault_is_counted_and_says_how_it_is_met_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def case(rng: Random, folder: Path) -> int:
        (folder / "left").write_text("behind")
        number = rng.randrange(3)
        if number == 0:
            raise ConfigError("said clearly")
        if number == 1:
            raise KeyError("a bug")
        return 5

    monkeypatch.setitem(inputs.KINDS, "tensors", (case, 1))
    assert main(["--kind", "tensors", "--count", "20", "--seed", "3"]) == 1
    told = capsys.readouterr().out
    assert "FAULT tensors: KeyError at test_inputs.py" in told
    again = told.split("; python -m scripts.torture.inputs ")[1].split()
    assert main(again) == 1
    campaign = Campaign(seed=3)
    for number in range(20):
        campaign.case("tensors", number)
    read, refused, faults = campaign.read["tensors"], campaign.refused["tensors"], campaign.faults["tensors"]
    assert read + refused + faults == 20
    assert min(read, refused, faults) > 0
    assert campaign.inputs["tensors"] == 5 * read + refused


def test_a_case_that_hangs_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def case(rng: Random, folder: Path) -> int:
        while True:
            try:
                rng.random()
            except Exception:
                return 1

    monkeypatch.setitem(inputs.KINDS, "tensors", (case, 1))
    monkeypatch.setattr(inputs, "LONGEST", 0.05)
    campaign = Campaign(seed=0)
    campaign.case("tensors", 0)
    assert campaign.faults == {"tensors": 1}


def test_rounds_go_through_every_kind_and_stop_at_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "30"]) == 0
    assert main(["--seconds", "0"]) == 0
    assert "spoilt_lines" in capsys.readouterr().out
