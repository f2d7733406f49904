"""``concord doctor``: what is installed against what was tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from concord.cli.doctor import command
from concord.engines import doctor
from concord.engines.slime import contract as slime


def test_the_trl_of_the_tests_is_as_tested_and_what_is_not_there_is_absent() -> None:
    trl, miles = doctor.examine(["trl", "miles"])
    assert (trl.verdict, trl.differences) == ("tested", [])
    assert (miles.verdict, miles.installed) == ("absent", None)


@pytest.mark.parametrize(
    ("installed", "differences", "verdict"),
    [("1.16.3", [], "tested"), ("1.17.0", [], "untested"), ("1.16.3", ["GRPOTrainer has no x"], "differs")],
)
def test_a_version_outside_the_range_is_not_the_same_as_one_that_differs(
    monkeypatch, installed: str, differences: list[str], verdict: str
) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: installed)
    monkeypatch.setitem(doctor._CONTRACTS, "trl", (">=1.16,<1.17", lambda: differences))
    (found,) = doctor.examine(["trl"])
    assert (found.verdict, found.differences) == (verdict, differences)


def test_the_command_says_what_differs_and_exits_with_1(monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: "9.9")
    for engine in doctor._CONTRACTS:
        monkeypatch.setitem(doctor._CONTRACTS, engine, (">=9", list))
    command(json=True)
    assert {found["verdict"] for found in json.loads(capsys.readouterr().out).values()} == {"tested"}
    monkeypatch.setitem(doctor._CONTRACTS, "verl", (">=9", lambda: ["PPOTrainer has no [seam]"]))
    with pytest.raises(typer.Exit) as caught:
        command(json=False)
    assert caught.value.exit_code == 1
    assert "verl: PPOTrainer has no [seam]" in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["slime", "miles"])
def test_a_source_without_the_hook_is_told_apart_from_one_with_it(engine: str, tmp_path: Path) -> None:
    files = {name: list(words) for name, words in slime.SOURCES[engine].items()}
    files["utils/types.py"] = [f"    {name}: int" for name in slime.SAMPLE]
    for name, lines in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("\n".join(lines))
    assert slime.check(engine, tmp_path) == []
    (tmp_path / "utils" / "types.py").write_text("    reward: float\n")
    assert "Sample has no field group_index" in slime.check(engine, tmp_path)
    assert slime.check(engine) == [f"{engine} is not installed"]
