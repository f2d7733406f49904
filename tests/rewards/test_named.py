"""Rewards by name: where their functions come from, and what is refused."""

from __future__ import annotations

import functools
import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import ConfigError, DuplicateName
from concord.rewards import (
    Limits,
    NamedReward,
    RewardBatch,
    RewardSet,
    Source,
    Steps,
    check_distinct,
    load,
    toolrl,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def ones(completions: list[str], **_: Any) -> list[float]:
    return [1.0] * len(completions)


def test_a_function_of_a_module() -> None:
    reward = load("right", "concord.rewards.toolrl:correctness", weight=2)
    assert reward == NamedReward("right", Source(toolrl.correctness, "concord.rewards.toolrl:correctness"), 2)


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
    assert half.source.target(completions=["a"]) == [0.5]
    assert called.source.target(completions=["a"]) == [1]  # one module, run once


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder, score in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "mine.py", f"def f(completions, **_): return [{score}]")
    a, b = (load(name, f"{tmp_path}/{name}/mine.py:f") for name in ("a", "b"))
    assert (a.source.target(completions=["x"]), b.source.target(completions=["x"])) == ([1], [2])


PACKAGE = "from .scale import SCALE\ndef f(completions, **_): return [SCALE] * len(completions)\n"


def test_a_file_of_a_package_may_import_relatively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    inner = tmp_path / "pack_of_rewards" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        write(folder / "__init__.py", "")
    write(inner / "scale.py", "SCALE = 0.25\n")
    file = write(inner / "mine.py", PACKAGE)
    found = load("f", f"{file}:f").source.target
    assert found(completions=["a", "b"]) == [0.25, 0.25]
    assert found is load("g", "pack_of_rewards.inner.mine:f").source.target  # the same module by either name
    apart = RewardSet([load("f", f"{file}:f", limits=Limits(timeout=30.0))])
    assert apart.score(RewardBatch(["q"], ["a"])).values == {"f": [0.25]}  # and in a process of its own
    apart.close()


def test_relative_imports_without_a_package_are_explained(tmp_path: Path) -> None:
    write(tmp_path / "scale.py", "SCALE = 1.0\n")
    file = write(tmp_path / "mine.py", PACKAGE)
    with pytest.raises(ConfigError, match=r"mine\.py has relative imports and belongs to no package: put an __init__"):
        load("f", f"{file}:f")


def test_a_package_that_has_the_name_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "json").mkdir()
    for name, text in (("__init__.py", ""), ("scale.py", "SCALE = 1.0\n"), ("decoder.py", PACKAGE)):
        write(tmp_path / "json" / name, text)
    with pytest.raises(
        ConfigError, match=r"another module has the name json\.decoder, .* write json\.decoder:function"
    ):
        load("f", f"{tmp_path}/json/decoder.py:f")


BROKEN = {
    "no file": ("nowhere.py:f", r"'bad': no file .*nowhere\.py"),
    "no function": ("mine.py:corectness", r"has no function 'corectness'; did you mean 'correctness'\?"),
    "fails on import": ("broken.py:f", r"broken\.py fails on import: ZeroDivisionError: division by zero"),
    "exits": ("exits.py:f", r"exits\.py fails on import: SystemExit: 0"),
    "not Python": ("syntax.py:f", r"syntax\.py fails on import: SyntaxError"),
    "no function named": ("mine.py", r"names no function; write file\.py:function"),
    "empty function": ("mine.py:", r"names no function"),
}


@pytest.mark.parametrize(("path", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_will_not_do(path: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "mine.py", "NUMBER = 3\ndef correctness(completions, **_): return []")
    write(tmp_path / "broken.py", "1 / 0")
    write(tmp_path / "syntax.py", "def f(:")
    write(tmp_path / "exits.py", "import sys; sys.exit(0)")
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
    check_distinct(["a", "b"])
    with pytest.raises(DuplicateName, match="used more than once: 'a'"):
        check_distinct(["a", "b", "a"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"when": "format"}, "'format' is no condition on a reward"),
        ({"scale": 0}, "scale 0 makes every score the same"),
        ({"scale": "2"}, "scale must be a number, got '2'"),
        ({"shift": math.inf}, "shift must be finite"),
        ({"clamp": (1, 1)}, r"clamp is \[least, greatest\], got \[1, 1\]"),
        ({"clamp": (math.nan, 1)}, "an end of clamp must be finite"),
        ({"on_error": "abstian"}, "on_error is one of raise, abstain, zero, worst; got 'abstian'; did you mean"),
        ({"on_error": "worst"}, "on_error: worst needs both ends of clamp"),
        ({"on_error": "worst", "clamp": (0, None)}, "on_error: worst needs both ends of clamp"),
        ({"max_failed": 0}, "max_failed is a share of the batch, above 0 and at most 1; got 0"),
        ({"max_failed": 1.5}, "max_failed is a share of the batch"),
    ],
)
def test_settings_that_will_not_do(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"reward 'short': {said}"):
        NamedReward("short", ones, **settings)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"timeout": 0}, "timeout must be a positive number of seconds, got 0"),
        ({"batch_timeout": math.inf}, "batch_timeout must be a positive number of seconds"),
        ({"workers": 0}, "workers must be a positive whole number, got 0"),
        ({"workers": True}, "workers must be a positive whole number"),
        ({"batch_size": 1.5}, "batch_size must be a positive whole number"),
    ],
)
def test_limits_that_will_not_do(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Limits(**limits)


def test_scores_are_scaled_then_shifted_then_clamped() -> None:
    reward = NamedReward("toxic", ones, scale=-2.0, shift=1.0, clamp=(-0.5, 0.5))
    assert [reward.adjusted(x) for x in (0.0, 0.4, 0.5, 1.0)] == pytest.approx([0.5, 0.2, 0.0, -0.5])
    assert NamedReward("low", ones, clamp=(None, 1.0)).adjusted(-1e9) == -1e9


def test_what_counts_instead_of_a_score() -> None:
    worst = NamedReward("w", ones, Steps({0: 1.0, 10: -1.0}), clamp=(-3.0, 3.0), on_error="worst")
    assert [worst.instead(step) for step in (0, 10)] == [-3.0, 3.0]  # the end that counts least
    assert [NamedReward("r", ones, on_error=policy).instead(0) for policy in ("abstain", "zero")] == [None, 0.0]


def test_the_code_behind_a_reward_is_known_by_its_hash(tmp_path: Path) -> None:
    file = write(tmp_path / "hashed.py", "def f(completions, **_): return [1.0]")
    code = load("f", f"{file}:f").source.code()
    assert code == {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert NamedReward("p", functools.partial(ones)).source.code()["file"] == __file__
    assert NamedReward("b", len).source.code() == {}


def test_what_another_process_can_import() -> None:
    assert Source(ones).importable() == f"{__name__}:ones"
    assert Source(len, "somewhere.py:f").importable() == "somewhere.py:f"
    for target in (lambda completions: completions, functools.partial(ones), Limits()):
        with pytest.raises(ConfigError, match="cannot be run in a process of its own"):
            Source(target).importable()
