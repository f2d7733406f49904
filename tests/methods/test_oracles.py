"""Every method against its slow twin, in float64, on ragged and interleaved groups."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

import pytest
import torch

from concord import names
from tests.batches import make_batch
from tests.methods import oracles
from tests.methods.test_contract import make, with_numerics

SHAPES = [(4, 4, 4), (8, 8, 8, 8), (4, 3, 5, 4), (1, 2, 7), (1,), (2,)]


def oracle_of(name: str) -> Callable[..., list[float]]:
    """A method's slow twin: in the package, or in one of its modules."""
    modules = [oracles, *(import_module(f"{oracles.__name__}.{m.name}") for m in iter_modules(oracles.__path__))]
    [found] = {getattr(module, name) for module in modules if hasattr(module, name)}
    return found


def compare(name: str, numerics: str, oracle: object, sizes: tuple[int, ...], **parameters: object) -> None:
    for seed in range(4):
        for kinds in (1, 2, 4):
            batch, ids = make_batch(seed, sizes, kinds)
            lengths = batch.columns["lengths"].tolist()
            chain = make(name, numerics=numerics, **parameters).signal
            further = {column: batch.columns[column].tolist() for column in chain.needs - {"lengths"}}
            want = oracle(batch.rewards.tolist(), ids, lengths, numerics, **further)  # type: ignore[operator]
            got = chain(batch).advantages
            torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "numerics"), with_numerics(names("*", "advantage", "loss")))
def test_method_equals_its_slow_twin(name: str, numerics: str, sizes: tuple[int, ...]) -> None:
    compare(name, numerics, oracle_of(name), sizes)


@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_the_papers_rule_equals_its_slow_twin(numerics: str) -> None:
    compare("gd2po", numerics, oracles.gd2po_paper, (4, 3, 5, 4), rule="paper")


@pytest.mark.parametrize("numerics", ["verl", "trl"])
@pytest.mark.parametrize("base", [oracles.clipo_dr_grpo, oracles.clipo_gdpo, oracles.clipo_gd2po])
def test_clipo_on_another_method_equals_its_slow_twin(base: Callable[..., list[float]], numerics: str) -> None:
    compare("clipo", numerics, base, (4, 3, 5, 4), base=base.__name__.removeprefix("clipo_"))


@pytest.mark.parametrize("tau", [0.2, 0.5])
def test_tau_equals_its_slow_twin(tau: float) -> None:
    def oracle(*args: object) -> list[float]:
        return oracles.gd2po(*args, tau=tau)  # type: ignore[arg-type]

    compare("gd2po", "verl", oracle, (8, 8, 3), tau=tau)
