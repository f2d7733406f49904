"""What a trainer's gradient is, and what it should be: computed row by row, without Concord.

The reference takes every rollout by itself, unpadded, through a fresh copy of the model in
float64, and writes the loss as loops over rollouts and tokens. It shares with the trainer only the
sampled tokens, the advantages and the marks of what was dropped.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from tests.engines import tiny

Gradient = dict[str, Tensor]


@dataclass
class Step:
    """One optimisation step as the trainer made it: before the optimiser moved the parameters."""

    parameters: Gradient
    gradient: Gradient
    batches: list[dict[str, Tensor]]
    first: bool  # the first step after a generation
    table: dict[str, list[Any]]  # TRL's log of completions


class Recorder(TrainerCallback):
    """Keeps each step's parameters, gradient and micro-batches, as they were before any row left."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.trainer: Any = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self.trainer
        window, held = args.gradient_accumulation_steps, trainer._buffered_inputs
        start = (trainer._step - window) % len(held)
        model = trainer.accelerator.unwrap_model(trainer.model)
        self.steps.append(
            Step(
                {name: value.detach().clone() for name, value in model.state_dict().items()},
                {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None},
                [copy.deepcopy(batch) for batch in held[start : start + window]],
                (trainer._step - window) % (len(held) * trainer.num_iterations) == 0,
                {name: list(trainer._logs[name]) for name in ("prompt", "completion", "advantages")},
            )
        )


def record(trainer: Any) -> list[Step]:
    """Train, and return the steps."""
    recorder = Recorder()
    recorder.trainer = trainer
    trainer.add_callback(recorder)
    trainer.train()
    return recorder.steps


@dataclass
class Loss:
    """The loss that a gradient should come from, in plain words."""

    low: float = 0.2
    high: float = 0.2
    dual: float | None = 3.0
    ratio: str = "token"  # or "sequence"
    mean: str = "token"  # or "sequence", or "constant"
    constant: int = 1
    count_dropped: bool = True
    beta: float = 0.0
    gamma: float = 1.0  # of revised responses
    reference: Gradient | None = None
    build: Callable[[], Any] = field(default=tiny.model)


def expected(steps: list[Step], loss: Loss) -> Iterable[Gradient]:
    """The gradient that each step should have had."""
    old: Gradient = {}
    for step in steps:
        old = step.parameters if step.first else old
        yield _gradient(step, old, loss)


def assert_gradients(steps: Iterable[Step], wanted: Iterable[Gradient], tolerance: float = 1e-6) -> None:
    """Equal, step by step; and there were gradients to compare."""
    largest = 0.0
    for number, (step, want) in enumerate(zip(steps, wanted, strict=True)):
        assert step.gradient.keys() == want.keys()
        for name, value in want.items():
            message = f"step {number}, {name}: "
            got, value = step.gradient[name].double(), value.double()
            torch.testing.assert_close(got, value, rtol=0, atol=tolerance, msg=lambda m, at=message: at + m)
            largest = max(largest, float(value.abs().max()))
    assert largest > 1e-2, "nothing to compare"


def _gradient(step: Step, old: Gradient, loss: Loss) -> Gradient:
    policy = _load(loss.build, step.parameters)
    before = _load(loss.build, old)
    reference = _load(loss.build, loss.reference) if loss.reference is not None else None
    responses = [row for batch in step.batches for row in _rows(batch)]
    counted = [r for r in responses if r["keep"] or loss.count_dropped]
    tokens, count = sum(int(r["mask"].sum()) for r in counted), len(counted)
    total = torch.zeros((), dtype=torch.float64)
    for r in responses:
        if not r["keep"] or not r["mask"].any():
            continue
        logp = _logp(policy, r)
        with torch.no_grad():
            before_logp = _logp(before, r)
            reference_logp = None if reference is None else _logp(reference, r)
        per_token = _per_token(logp, before_logp, reference_logp, r, loss)
        if loss.mean == "token":
            total = total + sum(per_token) / tokens
        elif loss.mean == "sequence":
            total = total + sum(per_token) / len(per_token) / count
        else:
            total = total + sum(per_token) / (count * loss.constant)
    total.backward()
    return {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}


def _per_token(logp: Tensor, old: Tensor, reference: Tensor | None, r: dict[str, Any], loss: Loss) -> list[Tensor]:
    A, kept = r["advantage"], r["mask"].nonzero()[:, 0].tolist()
    sequence = torch.stack([logp[t] - old[t] for t in kept]).mean().exp()
    out = []
    for t in kept:
        ratio = (logp[t] - old[t]).exp() if loss.ratio == "token" else sequence
        gain = torch.minimum(ratio * A, ratio.clamp(1 - loss.low, 1 + loss.high) * A)
        if loss.dual is not None and A < 0:
            gain = gain.clamp(min=loss.dual * A)
        if r["revised"]:
            gain = A * ratio / (ratio + loss.gamma)
        term = -gain
        if reference is not None:
            d = reference[t] - logp[t]
            term = term + loss.beta * (d.exp() - d - 1)
        out.append(term)
    return out


def _rows(batch: dict[str, Tensor]) -> Iterable[dict[str, Any]]:
    for i in range(len(batch["keep"])):
        here = batch["completion_mask"][i].bool()
        mask = here & batch["tool_mask"][i].bool() if "tool_mask" in batch else here
        yield {
            "prompt": batch["prompt_ids"][i][batch["prompt_mask"][i].bool()],
            "response": batch["completion_ids"][i][here],
            "mask": mask[here],
            "advantage": float(batch["advantages"][i]),
            "keep": bool(batch["keep"][i]),
            "revised": "concord/revised" in batch and bool(batch["concord/revised"][i]),
        }


def _logp(model: Any, r: dict[str, Any]) -> Tensor:
    ids = torch.cat([r["prompt"], r["response"]])[None]
    logits = model(input_ids=ids).logits[0, len(r["prompt"]) - 1 : -1]
    return logits.log_softmax(-1).gather(1, r["response"][:, None])[:, 0]


def _load(build: Callable[[], Any], parameters: Gradient) -> Any:
    model = build()
    model.load_state_dict(parameters)
    return model.double()


def mean_kl(step: Step, reference: Gradient) -> float:
    """GRPO's estimate of the divergence, over the tokens of the rollouts that are kept."""
    policy, other = _load(tiny.model, step.parameters), _load(tiny.model, reference)
    terms: list[float] = []
    for r in (row for batch in step.batches for row in _rows(batch) if row["keep"]):
        with torch.no_grad():
            d = _logp(other, r) - _logp(policy, r)
        terms += (d.exp() - d - 1)[r["mask"]].tolist()
    return sum(terms) / len(terms)


def assert_table(steps: list[Step]) -> None:
    """What each step trained on stands in TRL's table of completions, with its prompt and advantage."""
    words = tiny.tokenizer()
    for step in steps:
        table = zip(*(step.table[name] for name in ("prompt", "completion", "advantages")), strict=True)
        logged = Counter((prompt, completion, round(advantage, 5)) for prompt, completion, advantage in table)
        trained = Counter(
            (
                words.decode(row["prompt"], skip_special_tokens=True),
                words.decode(row["response"], skip_special_tokens=True),
                round(row["advantage"], 5),
            )
            for batch in step.batches
            for row in _rows(batch)
        )
        assert trained <= logged
