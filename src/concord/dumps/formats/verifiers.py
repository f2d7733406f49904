"""verifiers: ``results.jsonl`` of version 0, ``traces.jsonl`` of version 1, which prime-rl writes too.

Version 0, a rollout a line: example_id, prompt, completion, reward (the total), metrics {name: score},
is_truncated, token_usage, error. Lines come as rollouts finish, groups mixed.

Version 1, an episode a line: group {id}, task {key, hash}, run {name, id}, and traces, one an agent,
each with nodes (the messages, as a tree), rewards {name: {score, weight} or null}, metrics,
stop_condition and errors. prime-rl writes ``rollouts/step_{N}/{train,eval}/{all,effective}``: each
episode on arrival (all), and those it trained on again (effective).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from concord.core.status import FAILED
from concord.dumps.formats.base import Format, Malformed, Record, Rollout, group_of, has
from concord.dumps.values import fact, text

_LIMITS = {"max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens", "context_length"}


def _result(record: Record) -> Iterator[Rollout]:
    metrics = record.get("metrics") or {}
    failed = record.get("error") is not None
    usage = record.get("token_usage") or {}
    values = {**metrics, "reward": record["reward"]}
    yield Rollout(
        values=values,
        prompt=text(record["prompt"]),
        completion=text(record["completion"]),
        group=group_of(record["example_id"]),
        length=usage.get("output_tokens"),
        truncated=record.get("is_truncated"),
        statuses={name: FAILED for name, value in values.items() if value is None} if failed else None,
    )


def _episode(record: Record) -> Iterator[Rollout | str]:
    task = record.get("task") or {}
    group = (record.get("group") or {}).get("id") or task.get("hash") or task.get("key")
    run = record.get("run") or {}
    traces = record["traces"]
    if not traces:
        raise Malformed("an episode without any trace")
    trained = any((trace.get("agent") or {}).get("trainable", True) for trace in traces)
    for trace in traces:
        agent = trace.get("agent") or {}
        if trained and not agent.get("trainable", True):
            yield "trace of an agent that is not trained"
            continue
        rollout = _trace(trace)
        if group is not None:
            rollout.group = (text(group), text(agent.get("name", "agent")))
        rollout.run = text(run.get("name") or run.get("id")) or None
        yield rollout


def _trace(trace: Record) -> Rollout:
    rewards: dict[str, Any] = trace["rewards"]
    scored = {name: reward for name, reward in rewards.items() if reward is not None}
    failed = bool(trace.get("errors")) or trace.get("ok") is False
    path = _last_branch(trace.get("nodes") or [])
    own = next((i for i, node in enumerate(path) if node.get("sampled")), len(path))
    calls = [call for call in trace.get("calls") or [] if call.get("error") is None]
    masks = [node["mask"] for node in path if node.get("mask")]
    advantages = [fact(a) for node in path for a in node.get("advantages") or []]
    return Rollout(
        values={**(trace.get("metrics") or {}), **{k: v and v["score"] for k, v in rewards.items()}},
        prompt=text([node["message"] for node in path[:own]]),
        completion=text([node["message"] for node in path[own:]]),
        advantage=sum(advantages) / len(advantages) if advantages else None,
        length=sum(map(sum, masks)) if masks else None,
        truncated=trace.get("stop_condition") in _LIMITS or bool(calls and calls[-1].get("finish_reason") == "length"),
        weights={name: fact(reward.get("weight", 1.0)) for name, reward in scored.items()},
        statuses={name: FAILED for name, reward in rewards.items() if reward is None} if failed else None,
    )


def _last_branch(nodes: Sequence[Record]) -> list[Record]:
    """The messages from the root to the last leaf; parents stand before their children."""
    path, at = [], len(nodes) - 1
    while 0 <= at < len(nodes):
        path.append(nodes[at])
        parent = nodes[at].get("parent")
        at = parent if isinstance(parent, int) and parent < at else -1
    return path[::-1]


def _declared(sample: Sequence[Rollout]) -> list[str]:
    return list(dict.fromkeys(name for rollout in sample for name in rollout.weights or ()))


V0 = Format(
    name="verifiers v0",
    kinds=("JSON lines",),
    fits=has("example_id", "prompt", "completion", "reward"),
    rollouts=_result,
    totals=("reward",),
    grouping="example_id",
    components=(
        "component rewards: no metrics stand beside the total. Give each reward its own function in the Rubric "
        "(weight 0 to only watch it): results.jsonl then holds metrics by name"
    ),
    lacks=(
        "reward weights: results.jsonl does not hold the Rubric's; name them with --weights. A metric of weight 0 "
        "looks like a reward; name the rewards",
        "advantages: results.jsonl does not hold them",
    ),
)

V1 = Format(
    name="verifiers v1",
    kinds=("JSON lines",),
    fits=lambda record: isinstance(record.get("traces"), list) and ("task" in record or "env" in record),
    rollouts=_episode,
    declared=_declared,
    step_in="folder",
    redundant="all",
    grouping="group.id, else the task's hash",
    components="component rewards: no reward of these episodes has a name",
)
