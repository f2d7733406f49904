"""Options by the types of what receives them."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, Union

import pytest

import concord
from concord.core.errors import ConfigError
from concord.core.typed_options import arguments, checked, converted
from concord.methods import builder


class Shade(enum.Enum):
    LIGHT = "light"
    DARK = "dark"


@dataclass
class Nested:
    depth: int = 1


@dataclass
class Receiver:
    switch: bool = False
    maybe: Optional[bool] = None  # noqa: UP045 (as older libraries write it)
    count: int = 1
    rate: float = 0.1
    name: str = ""
    shade: Union[Shade, str] = "light"  # noqa: UP007
    rule: Literal["code", "paper", "niter_[number]"] = "code"
    words: list[str] | str | None = None
    table: dict[str, bool] = field(default_factory=dict)
    pairs: list[tuple[int, int]] | None = None
    weights: Mapping[str, float] | Iterable[tuple[str, float]] = ()
    shares: Sequence[float] = ()
    call: Callable[[str], float] | None = None
    nested: Nested | None = None
    anything: Any = None
    bare: str | None = field(default=None, metadata={"const": True})
    made: int = field(default=0, init=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("switch", True),
        ("maybe", None),
        ("count", 3),
        ("rate", 2),
        ("rate", math.inf),
        ("shade", "dark"),
        ("rule", "paper"),
        ("rule", "niter_16"),
        ("words", ["a", "b"]),
        ("words", "a"),
        ("table", {"a": True}),
        ("weights", {"a": 1}),
        ("weights", [("a", 1.0)]),
        ("shares", [0.1, 1]),
        ("call", len),
        ("nested", Nested(2)),
        ("anything", object()),
        ("bare", True),
        ("bare", "full"),
    ],
)
def test_what_fits_is_handed_on_as_it_is(key: str, value: Any) -> None:
    assert checked({key: value}, Receiver) == ({key: value}, [])
    taken = checked({key: value}, Receiver)[0][key]
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("key", "given", "taken"),
    [("rate", "1e-5", 1e-5), ("rate", "-2E3", -2000.0), ("count", 1e3, 1000), ("pairs", [[0, 4]], [(0, 4)])],
)
def test_what_means_one_thing_only_is_read(key: str, given: Any, taken: Any) -> None:
    found = checked({key: given}, Receiver)
    assert found == ({key: taken}, [])
    assert type(found[0][key]) is type(taken)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("switch", "no", "must be true or false, got 'no', which is text in YAML; write false"),
        ("switch", "On", "must be true or false, got 'On', which is text in YAML; write true"),
        ("maybe", "off", "must be true or false or null, got 'off', which is text in YAML; write false"),
        ("switch", "maybe", "must be true or false, got 'maybe'"),
        ("switch", 1, "must be true or false, got 1"),
        ("switch", None, "must be true or false, got None"),
        ("count", "two", "must be a whole number, got 'two'"),
        ("count", "4", "must be a whole number, got '4', which is text; write it without quotes, as 4"),
        ("count", 2.5, "must be a whole number, got 2.5"),
        ("count", True, "must be a whole number, got True"),
        ("count", math.inf, "must be a whole number, got inf"),
        ("rate", "high", "must be a number, got 'high'"),
        ("rate", "0.7", "must be a number, got '0.7', which is text; write it without quotes, as 0.7"),
        ("rate", "1_0", "must be a number, got '1_0', which is text; write it without quotes, as 10"),
        ("rate", math.nan, "must be a number, got nan"),
        ("rate", 10**400, "must be a number, got 1000"),
        ("rate", "1e999", "must be a number, got '1e999'"),
        ("name", 5, "must be text, got 5; put it in quotes if it is meant as text"),
        ("shade", "drak", "must be one of light, dark, got 'drak'; did you mean 'dark'?"),
        ("rule", "papr", "must be one of code, paper, niter_[number], got 'papr'; did you mean 'paper'?"),
        ("words", [1], "must be a list, of which each is text, text or null, got [1]"),
        ("table", {"a": "no"}, "must be keys with values, each true or false, got {'a': 'no'}"),
        ("pairs", [[1, 2, 3]], "must be a list"),
        ("weights", "a", "got 'a'"),
        ("call", "len", "must be a function, which only Python code can give or null, got 'len'"),
        ("nested", {"depth": 2}, "must be Nested or null, got {'depth': 2}"),
        ("bare", 3, "got 3"),
        ("ruel", 1, "unknown key; did you mean 'rule'?"),
        ("made", 1, "unknown key"),
    ],
)
def test_what_does_not_fit_says_what_is_allowed(key: str, value: Any, text: str) -> None:
    taken, (fault,) = checked({key: value}, Receiver)
    assert taken == {}
    assert fault.key == key
    assert text in fault.text


def test_all_faults_are_told() -> None:
    taken, faults = checked({"switch": "no", "count": 3, "rate": "high"}, Receiver)
    assert (taken, [fault.key for fault in faults]) == ({"count": 3}, ["switch", "rate"])


def test_many_choices_are_not_all_listed() -> None:
    from transformers.training_args import OptimizerNames

    with pytest.raises(ConfigError, match=r"adamw_torch, .* and \d+ more, .* did you mean 'adamw_torch'"):
        converted("adamw_torc", OptimizerNames | str)


def test_arguments_of_a_function() -> None:
    def build(tau: float = 0.8, *, rule: Literal["code", "paper"] = "code", further: Unknown = None) -> None:  # noqa: F821
        ...

    assert arguments({"tau": 1, "rule": "x"}, build, "m") == {"tau": 1, "rule": "x"}  # hints that cannot be followed

    def typed(tau: float = 0.8, weights: Mapping[str, float] | None = None) -> None: ...

    assert arguments({"tau": "1e-1"}, typed, "m") == {"tau": 0.1}
    with pytest.raises(ConfigError, match="m: no parameter 'tua'; there are tau, weights; did you mean 'tau'"):
        arguments({"tua": 1}, typed, "m")
    with pytest.raises(ConfigError, match="m: tau: must be a number, got 'high'; weights: must be keys with values"):
        arguments({"tau": "high", "weights": 3}, typed, "m")


@pytest.mark.parametrize("name", concord.names())
def test_the_defaults_of_every_method_are_of_its_types(name: str) -> None:
    import inspect

    parameters = inspect.signature(builder(name)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    assert checked(defaults, builder(name)) == (defaults, [])


def test_the_defaults_of_every_receiver_are_of_its_types() -> None:
    import dataclasses

    from peft import LoraConfig
    from trl import DPOConfig, GRPOConfig, RewardConfig

    for receiver in (GRPOConfig, RewardConfig, DPOConfig, LoraConfig):
        given = {
            f.name: f.default if f.default is not dataclasses.MISSING else f.default_factory()
            for f in dataclasses.fields(receiver)
            if f.init and not (f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
        }
        assert checked(given, receiver)[1] == [], receiver
