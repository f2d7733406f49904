"""One run: a task, a method, a seed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import torch

from concord.bench.named import method_of, task_of
from concord.bench.tasks import Task
from concord.core.chain import Chain
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.engines.loop import Done, Loop, Sampled
from concord.stages import GroupNormalize, MeasureConflicts, Sum

Point = dict[str, float | None]
"""What was measured at one step, by name."""

_CONFLICT = Chain((GroupNormalize(), MeasureConflicts(), Sum()))
_NOISE = 1 << 40  # far from any seed of the sampling


@dataclass(frozen=True)
class Job:
    """A run to make: task and method as on the command line.

    The seed decides the checkpoint, the prompts of every step, the random numbers of the sampling and those of noisy
    rewards. So two methods with one seed differ in nothing else, and their first steps see the same rollouts.
    """

    task: str
    method: str
    seed: int

    def digest(self) -> str:
        """Of everything that the result depends on but Concord's own code."""
        task = task_of(self.task)
        numbers = {f.name: getattr(task, f.name) for f in dataclasses.fields(Task) if f.type in ("int", "float")}
        settings = [task.name, repr(task.rewards), numbers, repr(method_of(self.method)), self.seed]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def run(job: Job) -> list[Point]:
    """Train, and measure every step's rollouts before the step is taken.

    Points hold ``step`` (from 1), ``value`` and ``success`` (:class:`concord.bench.tasks.Task`), ``reward/<name>`` in
    its own units, ``mixed`` and ``cancelled`` (:class:`concord.stages.MeasureConflicts`), ``silent`` (the share of
    groups in which no reward varies), ``kept`` and ``computed`` (shares of rollouts), ``sign_flips`` (None without
    whitening), ``length`` (mean response tokens), ``tokens`` (sampled, prompts included) and ``update_tokens`` (through
    forward and backward).
    """
    task, method = task_of(job.task), method_of(job.method)
    torch.manual_seed(job.seed)
    policy, tokens = task.policy(job.seed % task.checkpoints)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=task.rate, weight_decay=0.0)
    loop = Loop(policy, method, optimizer, end=tokens.end, pad=tokens.pad, limit=task.limit, updates=task.updates)
    points: list[Point] = []
    for step in range(task.steps):
        drawn = task.draw(job.seed, step)
        prompts = [prompt for prompt in drawn for _ in range(task.group)]
        encoded = {prompt.text: tokens.encode(prompt.text) for prompt in drawn}
        luck = job.seed * 1_000_003 + step
        sampled = loop.sample([encoded[prompt.text] for prompt in prompts], seed=luck)
        noise = torch.Generator().manual_seed(_NOISE + luck)
        scores = task.score(tokens.decode(sampled.responses()), prompts, noise)
        batch = Rollouts(scores, Groups.uniform(len(drawn), task.group), task.names)
        done = loop.step(sampled, batch)
        points.append(_measure(task, batch, sampled, done) | {"step": float(step + 1)})
    return points


def _measure(task: Task, batch: Rollouts, sampled: Sampled, done: Done) -> Point:
    rewards, outcome = batch.rewards, done.outcome
    conflict = _CONFLICT(batch).metrics
    flat = Signal.start(batch).moments(batch.groups).flat
    flips = outcome.metrics.get("whiten/sign_flips")
    return {
        "value": float(task.value(rewards).mean()),
        "success": float(task.success(rewards).float().mean()),
        **{f"reward/{name}": float(rewards[:, k].mean()) for k, name in enumerate(task.names)},
        "mixed": float(conflict["measure_conflicts/mixed"]),
        "cancelled": float(conflict["measure_conflicts/cancelled"]),
        "silent": float(flat.all(1).float().mean()),
        "kept": float(outcome.keep.float().mean()),
        "computed": float(done.computed.float().mean()),
        "sign_flips": None if flips is None else float(flips),
        "length": float(sampled.lengths.float().mean()),
        "tokens": float(sampled.tokens.sum()),
        "update_tokens": float(done.tokens),
    }
