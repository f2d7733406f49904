"""What it saves to leave dropped rollouts out of the forward pass.

    python benchmarks/dropped_rollouts.py

One generation batch, 60 % of it marked as dropped, is trained on again and again by one trainer: in
turn with the dropped rows computed (their advantage is 0, as engines do it) and left out. Timed is
the update: forward and backward passes over all micro-batches, and the optimiser's step.
Generation is not part of it. The gradients of both ways are compared.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")

import statistics
import tempfile
import time
import warnings
from typing import Any

import small
import torch
from torch import Tensor
from transformers import PrinterCallback

from concord.engines.trl import ConcordConfig, ConcordTrainer

WIDTH, LAYERS, PROMPTS, GROUP, MICRO_BATCH, KEPT, SEED, ROUNDS = 256, 4, 8, 4, 8, 0.4, 0, 9


class Marked(ConcordTrainer):
    """Marks rollouts as kept at random, a fixed share, and computes the others only when told to."""

    compute_all = False

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        count = len(output["advantages"])
        keep = torch.randperm(count) < round(KEPT * count)
        return output | {"keep": keep, "advantages": torch.where(keep, torch.randn(count), 0)}

    def _computed(self, inputs: dict[str, Any]) -> Tensor:
        return torch.ones_like(inputs["keep"]) if self.compute_all else super()._computed(inputs)


def rollouts(prompts: list[str], trainer: Any) -> dict[str, Any]:
    """Random responses of 32 to 96 tokens in place of generated ones."""
    ids = [torch.randint(2, small.VOCABULARY, (int(n),)).tolist() for n in torch.randint(32, 97, (len(prompts),))]
    prompt_ids = trainer.processing_class(text=prompts)["input_ids"]
    return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": [[0.0] * len(row) for row in ids]}


def anything(completions: list[str], **_: Any) -> list[float]:
    return [float(i) for i in range(len(completions))]


def prepared(folder: str) -> Marked:
    """A trainer after its first step, with its generation batch at hand."""
    config = ConcordConfig(
        **small.common(folder), method="gdpo", num_generations=GROUP, per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=PROMPTS * GROUP // MICRO_BATCH, max_steps=1, max_completion_length=96,
    )  # fmt: skip
    trainer = Marked(
        small.policy(WIDTH, LAYERS, SEED), anything, config, small.prompts(PROMPTS, 16, 32),
        processing_class=small.tokenizer(), rollout_func=rollouts,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def update(trainer: Marked, compute_all: bool, move: bool) -> tuple[float, Tensor]:
    """Seconds of one update, and its gradient."""
    trainer.compute_all = compute_all
    model, optimiser = trainer.model.train(), trainer.optimizer
    model.zero_grad()
    start = time.perf_counter()
    for batch in trainer._buffered_inputs:
        trainer._compute_loss(model, batch).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()]) if not move else torch.empty(0)
    if move:
        optimiser.step()
    return time.perf_counter() - start, gradient


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    with tempfile.TemporaryDirectory() as folder:
        trainer = prepared(folder)
        (_, left_out), (_, computed) = (update(trainer, compute_all, move=False) for compute_all in (False, True))
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for compute_all in times:
                times[compute_all].append(update(trainer, compute_all, move=True)[0])
    without, with_all = statistics.median(times[False]), statistics.median(times[True])
    batches = trainer._buffered_inputs
    tokens = [(b["prompt_mask"].sum(1) + b["completion_mask"].sum(1), b["keep"]) for b in batches]
    share = float(sum(n[keep].sum() for n, keep in tokens) / sum(n.sum() for n, _ in tokens))
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(f"{small.machine()}; median of {ROUNDS} alternating rounds, seed {SEED}")
    print(
        f"{parameters / 1e6:.1f} M parameters (width {WIDTH}, {LAYERS} layers), {PROMPTS * GROUP} rollouts in "
        f"micro-batches of {MICRO_BATCH}, prompts of 16-32 and responses of 32-96 tokens"
    )
    print(f"  dropped rollouts computed  {with_all:7.3f} s")
    print(f"  dropped rollouts left out  {without:7.3f} s   ratio {without / with_all:.2f}")
    print(f"  kept: {KEPT:.2f} of the rollouts, {share:.2f} of the tokens")
    gap = float((left_out - computed).abs().max() / computed.abs().max())
    print(f"  largest difference between the two gradients, relative to the largest entry: {gap:.1e}")


if __name__ == "__main__":
    main()
