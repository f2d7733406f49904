"""SkyRL's evaluation dump: ``dumped_evals/global_step_{N}_evals/{data_source}.jsonl``.

input_prompt, output_response, score (a number, or one a token), stop_reason, env_class, env_extras,
data_source. Rollouts of a prompt stand together, without an id.
"""

from __future__ import annotations

from collections.abc import Iterator

from concord.dumps.formats.base import Format, Record, Rollout, digest, has
from concord.dumps.values import number, text


def _rollouts(record: Record) -> Iterator[Rollout]:
    prompt, score, reason = text(record["input_prompt"]), record["score"], record.get("stop_reason")
    yield Rollout(
        values={**record, "score": sum(map(number, score)) if isinstance(score, list) and score else score},
        prompt=prompt,
        completion=text(record["output_response"]),
        group=(text(record.get("data_source")), digest(prompt)),
        truncated=reason == "length" if reason is not None else None,
    )


FORMAT = Format(
    name="skyrl",
    kinds=("JSON lines",),
    fits=has("input_prompt", "output_response", "score"),
    rollouts=_rollouts,
    totals=("score",),
    others=frozenset({"input_prompt", "output_response", "stop_reason", "env_class", "env_extras", "data_source"}),
    step_in="folder",
    grouping="(step, data_source, input_prompt)",
    components=(
        "component rewards: SkyRL's evaluation dump (trainer.dump_eval_results) holds the score only, and no setting "
        "adds components; training batches (trainer.dump_data_batch) are pickles, which are not read"
    ),
    lacks=("training rollouts, advantages, lengths and weights: this is an evaluation dump",),
)
