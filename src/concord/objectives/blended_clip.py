"""Two advantages, each clipped by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from concord.core.errors import MissingColumn
from concord.objectives.batch import PolicyBatch
from concord.objectives.surrogate import Clip


@dataclass(frozen=True)
class BlendedClip:
    """A mixture of the clipped losses of a local and a global advantage.

        loss = w * clip(ratio, local) + (1 - w) * clip(ratio, global)

    A clipped loss is proportional to its advantage and depends else only on its sign. So where the two have one sign
    this is the clipped loss of w local + (1 - w) global; where they oppose, each is clipped on its own side.

    Columns: ``local_advantage``, ``global_advantage`` and ``local_weight``, each ``[B]``
    (:class:`concord.stages.BlendByConsistency`). The batch's advantages are not read.
    Raises: MissingColumn where the batch lacks one.
    Source: COPO, arXiv:2508.04138; ``compute_policy_loss_with_global`` in hijih/copo-code@095afa5.

    Attributes:
        clip: of both.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"local_advantage", "global_advantage", "local_weight"})
    clip: Clip = field(default_factory=lambda: Clip(0.2, 0.2, 3.0))

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        """The loss, and where one of its parts that count was clipped."""
        if absent := sorted(self.reads - batch.columns.keys()):
            raise MissingColumn(f"the blended clip reads columns {absent}; the batch has {sorted(batch.columns)}")
        weight = batch.columns["local_weight"].detach()[:, None]
        local, here = self.clip(ratio, batch.columns["local_advantage"].detach()[:, None], batch)
        among, there = self.clip(ratio, batch.columns["global_advantage"].detach()[:, None], batch)
        clipped = (here & (weight > 0)) | (there & (weight < 1))
        return weight * local + (1 - weight) * among, clipped
