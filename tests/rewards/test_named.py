"""Rewards by name: where their functions come from, and what is refused."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import ConfigError, DuplicateName
from concord.rewards import NamedReward, check_distinct, load, toolrl


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def ones(completions: list[str], **_: Any) -> list[float]:
    return [1.0] * len(completions)


def test_a_function_of_a_module() -> None:
    reward = load("right", "concord.rewards.toolrl:correctness", weight=2)
    assert reward == NamedReward("right", toolrl.correctness, 2)


def test_a_function_of_a_file_that_imports_its_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    write(tmp_path / "neighbour_of_reward.py", "SCORE = 0.5")
    file = write(
        tmp_path / "mine.py",
        "from neighbour_of_reward import SCORE\nCALLS = []\n"
        "def half(completions, **_):\n    CALLS.append(1)\n    return [SCORE] * len(completions)\n"
        "def called(completions, **_):\n    return [len(CALLS)] * len(completions)\n",
    )
    half, called = load("half", f"{file}:half"), load("called", f"{file}:called")
    assert half.function(completions=["a"]) == [0.5]
    assert called.function(completions=["a"]) == [1]  # one module, run once


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder, score in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "mine.py", f"def f(completions, **_): return [{score}]")
    a, b = (load(name, f"{tmp_path}/{name}/mine.py:f") for name in ("a", "b"))
    assert (a.function(completions=["x"]), b.function(completions=["x"])) == ([1], [2])


BROKEN = {
    "no file": ("nowhere.py:f", r"'bad': no file .*nowhere\.py"),
    "no function": ("mine.py:corectness", r"has no function 'corectness'; did you mean 'correctness'\?"),
    "not callable": ("mine.py:NUMBER", r"3 is a int, not a function"),
    "fails on import": ("broken.py:f", r"broken\.py fails on import: ZeroDivisionError: division by zero"),
    "not Python": ("syntax.py:f", r"syntax\.py fails on import: SyntaxError"),
    "no function named": ("mine.py", r"names no function; write file\.py:function"),
    "empty function": ("mine.py:", r"names no function"),
}


@pytest.mark.parametrize(("path", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_will_not_do(path: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "mine.py", "NUMBER = 3\ndef correctness(completions, **_): return []")
    write(tmp_path / "broken.py", "1 / 0")
    write(tmp_path / "syntax.py", "def f(:")
    with pytest.raises(ConfigError, match=message):
        load("bad", f"{tmp_path}/{path}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.rewards:f", r"no module 'no_such_package\.rewards'; install its package, or name a file"),
        ("concord.rewards.nothing:f", r"no module 'concord\.rewards\.nothing'"),
        ("concord.rewards.toolrl:lenght", r"has no function 'lenght'; did you mean 'length'\?"),
    ],
)
def test_a_module_that_will_not_do(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("bad", path)


def test_a_module_whose_own_import_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "needs_something.py", "import something_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="needs_something fails on import: No module named 'something_not_there'"):
        load("bad", "needs_something:f")


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, "1", None, True])
def test_a_weight_that_is_no_finite_number(weight: Any) -> None:
    with pytest.raises(ConfigError, match="reward 'short': the weight must be"):
        NamedReward("short", ones, weight)


def test_a_reward_without_a_name() -> None:
    with pytest.raises(ConfigError, match="a reward needs a name"):
        NamedReward("", ones)


def test_a_name_used_twice() -> None:
    check_distinct([NamedReward("a", ones), NamedReward("b", ones)])
    with pytest.raises(DuplicateName, match="used more than once: 'a'"):
        check_distinct([NamedReward("a", ones), NamedReward("b", ones), NamedReward("a", ones, 2.0)])
