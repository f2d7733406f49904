"""NeMo-RL's ``train_data_step{N}.jsonl`` and ``val_data_step{N}.jsonl``.

One object a rollout, every field in a list of length one: content (the texts of all messages, the
prompt first; with roles in validation), rewards (the total), token_ids, token_loss_mask (1 on the
policy's tokens), sample_loss_mask, advantages (one a token), idx. There is no group id: rollouts of a
prompt stand together and begin with the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from concord.dumps.formats.base import Format, Record, Rollout, digest, has
from concord.dumps.values import fact, split_conversation, text

_OTHERS = (
    "content", "idx", "agent_ref", "input_lengths", "token_ids", "token_loss_mask", "sample_loss_mask", "advantages",
    "generation_logprobs", "prev_logprobs",
)  # fmt: skip


def _rollouts(record: Record) -> Iterator[Rollout]:
    row = {name: _unwrapped(value) for name, value in record.items()}
    prompt, completion = _texts(row["content"])
    mask = row.get("token_loss_mask")
    tokens = row.get("token_ids")
    rollout = Rollout(values=row, prompt=prompt, completion=completion)
    if isinstance(mask, list) and isinstance(tokens, list) and 1 in mask:
        rollout.group = digest(prompt, tokens[: mask.index(1)])
        rollout.length = mask.count(1)
        rollout.advantage = _mean(row.get("advantages"), mask)
    if "sample_loss_mask" in row:
        rollout.keep = fact(row["sample_loss_mask"]) != 0
    yield rollout


def _unwrapped(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _texts(content: Any) -> tuple[str, str]:
    if isinstance(content, list) and content and isinstance(content[0], str):
        return text(content[0]), "\n".join(text(part) for part in content[1:])
    return split_conversation(content)


def _mean(advantages: Any, mask: list[Any]) -> object:
    """Advantages are per token; over the policy's own they are nearly always one number."""
    if not isinstance(advantages, list):
        return advantages
    own = [fact(a) for a, here in zip(advantages, mask, strict=False) if here == 1]
    return sum(own) / len(own) if own else None


FORMAT = Format(
    name="nemo-rl",
    kinds=("JSON lines",),
    fits=has("content", "rewards", "idx"),
    rollouts=_rollouts,
    totals=("rewards", "filtered_rewards"),
    others=frozenset(_OTHERS),
    step_in="file",
    grouping="the prompt's tokens",
    components=(
        "component rewards: NeMo-RL writes only their sum, and no setting keeps the components (GDPO's reward/<name> "
        "columns stay in memory); write them from the environment, or with concord.dumps.write"
    ),
    lacks=("weights: they are not in train_data_step*.jsonl",),
)
