"""ROLL: three dumps.

``rollout_dump_dir`` of the RLVR pipelines: ``rollout_dump_data.step_{N}.jsonl``, one object of lists:
global_step, id, domain, prompt, responses, scores (the total), ...
``rollout_dump_dir`` of the agentic pipelines: one object of lists; trajectory_data and messages are
JSON inside, with the group in env_info or in trajectory_id.
``save_logging_board_dir``: one object a rollout with prompt, response, reward, token_rewards, step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from concord.dumps.formats.base import Format, Malformed, Record, Rollout, digest, explode, step_of
from concord.dumps.values import split_conversation, text

_BOARD = {"prompt", "response", "reward", "token_rewards", "step"}
_BRANCH = re.compile(r"_b\d+$")


def _fits(record: Record) -> bool:
    keys = record.keys()
    lists = {"global_step", "responses", "scores"} <= keys or {"global_step", "trajectory_data"} <= keys
    return (lists and isinstance(record["global_step"], list)) or keys >= _BOARD


def _rollouts(record: Record) -> Iterator[Rollout | str]:
    if "trajectory_data" in record:
        for row in explode(record, "trajectory_data"):
            yield row if isinstance(row, str) else _episode(row)
    elif "responses" in record:
        for row in explode(record, "responses"):
            yield row if isinstance(row, str) else _response(row)
    else:
        prompt = text(record["prompt"])
        rollout = _row(record, prompt, record["response"], record["step"], None)
        mask = record.get("new_response_mask")
        rollout.length = sum(map(bool, mask)) if isinstance(mask, list) else None
        yield rollout


def _response(row: Record) -> Rollout:
    prompt = text(row.get("prompt"))
    group = (text(row.get("domain")), text(row.get("id")), digest(prompt))
    return _row(row, prompt, row["responses"], row["global_step"], group)


def _row(row: Record, prompt: str, response: Any, step: Any, group: Any) -> Rollout:
    return Rollout(values=row, prompt=prompt, completion=text(response), group=group, step=step_of(step))


def _episode(row: Record) -> Rollout:
    data = json.loads(row["trajectory_data"])
    if not isinstance(data, dict):
        raise Malformed("trajectory_data is no object")
    messages = row.get("messages") or data.get("messages")
    prompt, completion = split_conversation(json.loads(messages) if isinstance(messages, str) else messages)
    name, env = text(data["trajectory_id"]), data.get("env_info")
    if isinstance(env, dict):
        group: tuple[Any, ...] = tuple(text(env.get(key)) for key in ("tag", "group_id", "episode_id", "seed"))
    else:  # {tag}_{group}_{episode}_{seed}_{environment}_{day}_{time}_{microseconds}, and a branch
        name = _BRANCH.sub("", name)
        group = (name.rsplit("_", 4)[0],)
    return Rollout(
        values=data["reward_info"],
        prompt=prompt,
        completion=completion,
        group=group,
        session=name,
        step=step_of(row["global_step"]),
        truncated=(data.get("length_info") or {}).get("truncated"),
    )


FORMAT = Format(
    name="roll",
    kinds=("JSON lines",),
    fits=_fits,
    rollouts=_rollouts,
    totals=("scores", "reward", "episode_reward"),
    others=frozenset(
        {"global_step", "id", "step", "difficulty", "step_reward", "step_rewards", "first_round_reward", "final_reward"}
    ),
    grouping="(step, domain, id, prompt), or the environment's group",
    components=(
        "component rewards: ROLL writes one score a rollout, that of its domain's reward worker, and no setting keeps "
        "its parts"
    ),
    lacks=("advantages and weights: ROLL does not write them",),
)
