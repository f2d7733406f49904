"""A stage and a method of your own, compared with what they were made from.

    python examples/custom_method.py

GD2PO drops rollouts whose rewards conflict. Here they are capped: where rewards disagree in sign, their sum is at most
``most``. To train with it by name, put the stage and the method into a module of yours and name it in the entry-point
group ``concord.methods`` (docs/tutorials/write_a_method.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from concord import Card, Chain, Groups, Method, Rollouts, Signal, Stage, create, register
from concord.core.errors import ConfigError
from concord.core.signal import masked_mean
from concord.functional.conflict import mixed_sign
from concord.methods import gdpo


@dataclass(frozen=True)
class CapConflicts(Stage):
    """Scale a rollout of mixed signs down until its sum is at most ``most``.

        x[n] *= min(1, most / |sum_k x[n, k]|)    where the signs of x[n] differ

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Metrics: ``capped``, the share of rollouts scaled.
    Degenerate: a sum of exactly 0 stays 0; ``most=0`` silences every rollout of mixed signs, ``most=inf`` none.
    Raises: ConfigError if most is negative.
    """

    most: float = 0.5

    def __post_init__(self) -> None:
        if not self.most >= 0:
            raise ConfigError(f"most must not be negative, got {self.most}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        x = torch.where(signal.live, signal.values, 0)
        size = x.sum(1).abs()
        capped = mixed_sign(x) & (size > self.most)
        factor = torch.where(capped, self.most / size.clamp(min=1e-8), 1)
        return signal.to(
            signal.values * factor[:, None], metrics={"capped": masked_mean(capped.to(x.dtype), signal.keep)}
        )


@register(
    Card(
        title="GDPO with conflicted rollouts capped",
        arxiv="",
        formula="GDPO with |sum_k w_k z_k| <= most where the z_k differ in sign",
        certainty="low",
    )
)
def capped_gdpo(*, most: float = 0.5, weights: Mapping[str, float] | None = None) -> Method:
    """GDPO that caps rollouts whose rewards disagree; ``most=inf`` is GDPO.

    Args:
        most: the largest sum of a rollout of mixed signs, before whitening.
        weights: by reward name; 1 where not named.
    """
    method = gdpo(weights=weights or {})
    normalize, weigh, *rest = method.signal.stages
    return dataclasses.replace(method, signal=Chain((normalize, weigh, CapConflicts(most), *rest)))


def main() -> None:
    draw = torch.Generator().manual_seed(0)
    right = torch.randn(64, generator=draw)
    short = -0.5 * right + torch.randn(64, generator=draw)
    lengths = torch.randint(5, 50, (64,), generator=draw)
    batch = Rollouts(torch.stack([right, short], 1), Groups.uniform(8, 8), ("right", "short"), {"lengths": lengths})

    baseline = create("gdpo").signal(batch).advantages
    unlimited = create("capped_gdpo", most=float("inf")).signal(batch).advantages
    assert torch.equal(unlimited, baseline), "without a cap it is GDPO"

    for name, parameters in (("gdpo", {}), ("gd2po", {"tau": 0.8}), ("capped_gdpo", {"most": 0.5})):
        outcome = create(name, **parameters).signal(batch)
        likeness = torch.corrcoef(torch.stack([outcome.advantages, baseline]))[0, 1]
        print(f"{name:12} kept {outcome.keep.float().mean():4.0%}, correlation with GDPO {likeness:.2f}")
    print(create("capped_gdpo").signal)


if __name__ == "__main__":
    main()
