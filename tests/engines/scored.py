"""A trainer that keeps what its rollouts were scored with, and the same figures worked out row by row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from concord import Rollouts
from concord.engines.trl import ConcordTrainer
from tests.engines import tiny


class Watched(ConcordTrainer):
    """Keeps the rollouts that the chain saw, TRL's batch of them, and the parameters of that moment."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self.seen: list[tuple[Rollouts, dict[str, Tensor], dict[str, Tensor]]] = []
        super().__init__(*given, **more)

    def _with_token_facts(self, batch: Rollouts, output: Any, *more: Any) -> Rollouts:
        found = super()._with_token_facts(batch, output, *more)
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        ids = {name: output[name].clone() for name in names}
        model = self.accelerator.unwrap_model(self.model)
        self.seen.append((found, ids, {name: value.clone() for name, value in model.state_dict().items()}))
        return found


def by_hand(ids: dict[str, Tensor], parameters: dict[str, Tensor], temperature: float = 1.0) -> list[dict[str, Tensor]]:
    """Row by row, unpadded, in float64: the distribution ``[t, V]`` at each token, the state before it, the tokens."""
    model = tiny.model()
    model.load_state_dict(parameters)
    model.double()
    rows = []
    for i in range(len(ids["prompt_ids"])):
        prompt = ids["prompt_ids"][i][ids["prompt_mask"][i].bool()]
        response = ids["completion_ids"][i][ids["completion_mask"][i].bool()]
        with torch.no_grad():
            found = model(input_ids=torch.cat([prompt, response])[None], output_hidden_states=True)
        place = slice(len(prompt) - 1, len(prompt) + len(response) - 1)
        logits, states = found.logits[0, place] / temperature, found.hidden_states[-1][0, place]
        rows.append({"logp": logits.log_softmax(1), "states": states, "response": response})
    return rows


def padded(rows: list[dict[str, Tensor]], name: str, width: int) -> Tensor:
    """One fact of each row, ``[N, width]`` float32, 0 beyond the row's end."""
    found = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        found[i, : len(row[name])] = row[name]
    return found
