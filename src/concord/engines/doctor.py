"""Whether the installed engines are those that were tested, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from concord.engines import contract as trl_contract
from concord.engines.slime import contract as slime_contract
from concord.engines.verl import contract as verl_contract

Verdict = Literal["absent", "tested", "untested", "differs"]


@dataclass(frozen=True)
class Examined:
    """One engine.

    Attributes:
        engine: its distribution's name.
        installed: its version; None = it is not installed.
        tested: a range of versions, or a version and a commit.
        differences: between what is installed and what is assumed of it, one line each.
        verdict: absent; tested; untested, a version outside the range whose seams look the same; or differs.
    """

    engine: str
    installed: str | None
    tested: str
    differences: list[str] = field(default_factory=list)
    verdict: Verdict = "absent"


def examine(engines: Sequence[str] = ("trl", "verl", "slime", "miles")) -> list[Examined]:
    """Look at the engines of these names.

    Example:
        >>> [found.engine for found in examine(["miles"])]
        ['miles']
    """
    return [_examine(engine) for engine in engines]


def _examine(engine: str) -> Examined:
    tested, check = _CONTRACTS[engine]
    try:
        installed = version(engine)
    except PackageNotFoundError:
        return Examined(engine, None, tested)
    differences = check()
    if differences:
        verdict: Verdict = "differs"
    else:
        verdict = "tested" if _inside(installed, tested) else "untested"
    return Examined(engine, installed, tested, differences, verdict)


def _inside(installed: str, tested: str) -> bool:
    from packaging.specifiers import SpecifierSet  # comes with every engine

    exact, comma, _ = tested.partition(", ")
    return installed == exact if comma and exact[0].isdigit() else installed in SpecifierSet(tested)


_CONTRACTS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "trl": (trl_contract.TESTED, lambda: trl_contract.check()),
    "verl": (verl_contract.TESTED, verl_contract.check),
    "slime": (slime_contract.TESTED["slime"], lambda: slime_contract.check("slime")),
    "miles": (slime_contract.TESTED["miles"], lambda: slime_contract.check("miles")),
}
