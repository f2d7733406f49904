"""ConcordTrainer with hints: a group that failed is sampled again with a part of the solution in its prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset

from concord.core.errors import ConfigError, nearest
from concord.engines.trl.trainer import ConcordTrainer
from concord.strategies.ghpo import Hints, Prompt

Solved = Callable[[Any, Mapping[str, Any]], bool]
"""Whether a completion, text or messages, solves a row of the data."""


class HintedTrainer(ConcordTrainer):
    """:class:`ConcordTrainer`, with the rollouts of GHPO.

    The rewards, and so the advantages, are those of the last completions of each group; the loss is conditioned on
    the prompt that they were sampled from. Reward functions, the log and the dump have the prompt without its hint.
    Evaluation has no hints. TRL's metrics of lengths are over all rounds.

    Args:
        hints: as :func:`concord.strategies.ghpo` builds it.
        solved: says of a completion and its row whether it is a success. It is asked beside the rewards and before
            them, so let it be quick.
        solution: the column with the solution as text; None or empty in a row = no hint for it.
        model, reward_funcs, args, and all others: as for ``ConcordTrainer``.

    Metrics: ``concord/hints/share``, the mean share of the solution that was shown; ``concord/hints/failed``, the
    share of groups without a success at the end.

    Raises:
        ConfigError: no such column; two rows of one prompt with different solutions; several processes, over which
            a group may be split; tools, images, environments or a ``rollout_func``; data that are streamed.
    """

    def __init__(
        self, *arguments: Any, hints: Hints, solved: Solved, solution: str = "solution", **options: Any
    ) -> None:
        self._hints, self._solved, self._solution = hints, solved, solution
        super().__init__(*arguments, **options)
        if self.accelerator.num_processes > 1:
            raise ConfigError("hints are for one process: over several, a group may be split")
        if self.tools or self._is_vlm or self.rollout_func is not None or self.environment_factories is not None:
            raise ConfigError("hints are for text without tools, images, environments or a rollout_func")
        self._rows = self._indexed()

    def _indexed(self) -> dict[str, int]:
        """Where each prompt is in the data; ``_generate`` is told no more than the prompts."""
        data = self.train_dataset
        if not isinstance(data, Dataset):
            raise ConfigError("hints look rows up by their prompt: not in data that are streamed")
        if self._solution not in data.column_names:
            hint = nearest(self._solution, data.column_names)
            raise ConfigError(f"no column {self._solution!r}{hint}; there are {', '.join(data.column_names)}")
        rows: dict[str, int] = {}
        solutions = data[self._solution][:]
        for i, prompt in enumerate(data["prompt"][:]):
            first = rows.setdefault(repr(prompt), i)
            if solutions[first] != solutions[i]:
                raise ConfigError(
                    f"rows {first} and {i} have one prompt and different solutions; make the prompts differ"
                )
        return rows

    def _generate(self, prompts: list[Prompt]) -> tuple[Any, ...]:
        if not self.model.training:
            rest: tuple[Any, ...] = super()._generate(prompts)
            return rest
        size, generate = self.num_generations, super()._generate
        rows = [self.train_dataset[self._rows[repr(prompt)]] for prompt in prompts[::size]]

        def sample(which: Sequence[int], texts: Sequence[Prompt]) -> list[tuple[list[Any], list[float]]]:
            prompt_ids, ids, _, completions, logprobs, *_ = generate([text for text in texts for _ in range(size)])
            # What TRL returns for a response is passed through the strategy as it is.
            sampled = list(zip(prompt_ids, ids, completions, logprobs or [None] * len(ids), strict=True))
            groups = [sampled[start : start + size] for start in range(0, len(sampled), size)]
            return [
                (group, [float(self._solved(response[2], rows[p])) for response in group])
                for p, group in zip(which, groups, strict=True)
            ]

        found = self._hints.roll_out(prompts[::size], [row[self._solution] for row in rows], sample)
        for name, values in (("share", [r.share for r in found]), ("failed", [float(r.failed) for r in found])):
            self._metrics["train"][f"concord/hints/{name}"].append(sum(values) / len(values))
        responses = [response for rollout in found for response in rollout.completions]
        prompt_ids, ids, completions, logprobs = map(list, zip(*responses, strict=True))
        return prompt_ids, ids, None, completions, None if logprobs[0] is None else logprobs, {}, None, []
