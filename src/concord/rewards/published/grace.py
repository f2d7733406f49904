"""A reward for texts that lie near what they shall resemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError, RewardError
from concord.core.groups import Groups
from concord.functional.resemblance import resemblance
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.groups import by_prompt

Embed = Callable[[Sequence[str]], Tensor]
"""``[n, H]`` for n texts."""


@dataclass(frozen=True)
class Similarity:
    """A reward in TRL's form, from embeddings of completions and of the columns ``query`` and ``negative``."""

    embed: Embed
    temperature: float
    cluster: float
    cross: float

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        query: Sequence[str | None],
        negative: Sequence[str | None],
        **_: Any,
    ) -> list[float | None]:
        """One reward for each completion; None where there is no query.

        Raises:
            RewardError: ``embed`` returned another shape than one row for each text.
        """
        count = len(completions)
        if not count:
            return []
        asked = [*(q or "" for q in query), *map(completion_text, completions), *(h or "" for h in negative)]
        embedded = torch.as_tensor(self.embed(asked)).detach()
        if embedded.ndim != 2 or len(embedded) != len(asked):
            raise RewardError(
                f"embed was given {len(asked)} texts and returned {tuple(embedded.shape)}, not [texts, H]"
            )
        empty = torch.tensor([not text for text in asked], device=embedded.device)
        rows = embedded.float().masked_fill(empty[:, None], 0).chunk(3)
        number = {i: p for p, group in enumerate(by_prompt(prompts)) for i in group}
        groups = Groups.of([number[i] for i in range(count)]).to(embedded.device)
        terms = resemblance(rows[0], rows[1], rows[2], groups, self.temperature)
        total: list[float] = terms.total(self.cluster, self.cross).tolist()
        return [score if text else None for score, text in zip(total, query, strict=True)]


@register(
    Card(
        title="GRACE: Generative Representation Learning via Contrastive Policy Optimization",
        arxiv="2510.04506",
        formula="r = (cos(q, y) - cos(q, neg) + c * mean_group cos(y, y') - x * mean_prompts max cos(q, y'')) / T",
        code="GasolSun36/GRACE@f636fdc",
        parity="authors' reward manager, four terms and total to 1e-6",
        kind="reward",
        needs=("embeddings", "column query", "column negative"),
    )
)
def grace(embed: Embed, *, temperature: float = 0.1, cluster: float = 0.2, cross: float = 0.2) -> Similarity:
    """GRACE: a completion shall be near its query and its group, and far from other prompts'.

        r = cos(q, y) - cos(q, neg) + c * mean_{y' in group} cos(y, y') - x * mean_{other prompts} max cos(q, y'')
        all over the temperature

    The data's column ``query`` holds what the completions shall resemble, ``negative`` what not; each is one anchor
    for the whole group, which is the paper's form. The terms in neg and in other prompts do not vary within a group:
    under a group-mean baseline (the paper's, without a standard deviation: ``dr_grpo``) they move no advantage.

    Args:
        embed: ``[n, H]`` for n texts; in the paper the policy's own mean last hidden states. Called once a batch.
        temperature: 0.1 in the authors' scripts, 0.7 as their code's default.
        cluster, cross: c and x.

    Differences: the code samples queries and negatives too and pairs the k-th query with the k-th positive
    (:func:`concord.functional.resemblance.resemblance` does so if given them), and replaces the reward by -1 where
    a response was cut off; make that a reward of its own here. An empty text resembles nothing; without a query the
    reward abstains. Raises: ConfigError unless the temperature is positive.
    Source: arXiv:2510.04506.
    """
    if not temperature > 0:
        raise ConfigError(f"the temperature must be positive, got {temperature}")
    return Similarity(embed, temperature, cluster, cross)
