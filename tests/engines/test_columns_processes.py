"""Two processes with responses of two widths: each gets its own rows of what the chain wrote."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from concord import Groups, Rollouts, create
from concord.engines.loop import Sampled
from concord.engines.trl.rows import widen
from tests.engines import fading, tiny
from tests.engines.gradients import Step
from tests.engines.test_loop import a_loop
from tests.engines.worker import ROOT


def two_processes(folder: Path) -> list[dict[str, Any]]:
    tiny.saved_model(folder / "base")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engines.fading", str(folder)], cwd=ROOT,
            env=world | {"RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert not any(process.returncode for process in running), "\n----\n".join(o[-3000:] for o in outputs)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in "01"]


def joined(batches: list[dict[str, torch.Tensor]]) -> tuple[Sampled, Rollouts]:
    """The rollouts of both, scored anew."""

    def both(key: str) -> torch.Tensor:
        width = max(batch[key].shape[1] for batch in batches)
        return torch.cat([widen(key, batch[key], width, 0) for batch in batches])

    mask = both("completion_mask").bool()
    sampled = Sampled(both("prompt_ids"), both("prompt_mask").bool(), both("completion_ids"), mask, ~mask[:, -1])
    texts = tiny.tokenizer().batch_decode(sampled.responses(), skip_special_tokens=True)
    groups = Groups.of([tuple(row) for row in sampled.prompt_ids.tolist()])
    return sampled, Rollouts(torch.tensor([tiny.first_letter(texts)]).T, groups, ("first_letter",))


def test_the_gradient_is_that_of_the_plain_loop_on_the_joined_batch(tmp_path: Path) -> None:
    ranks = two_processes(tmp_path)
    policy = tiny.model()
    with fading.entered() as name:
        loop = a_loop(create(name), policy)
    for steps in zip(*([Step(**step) for step in rank["steps"]] for rank in ranks), strict=True):
        batches = [step.batches[0] for step in steps]
        policy.load_state_dict(steps[0].parameters)
        sampled, batch = joined(batches)
        done = loop.step(sampled, batch)
        parts = done.outcome.push.advantages.split([len(part["keep"]) for part in batches])
        for part, here in zip(parts, batches, strict=True):
            torch.testing.assert_close(part[:, : here["advantages"].shape[1]], here["advantages"], rtol=0, atol=1e-5)
        gradient = {name: p.grad for name, p in policy.named_parameters()}
        assert max(float(value.abs().max()) for value in steps[0].gradient.values()) > 1e-2
        for step in steps:
            torch.testing.assert_close(gradient, step.gradient, rtol=0, atol=2e-6)
    assert any(entry.get("concord/refill/empty", 0) > 0 for entry in ranks[0]["log"])
    assert any(one != other for one, other in zip(*(rank["widths"] for rank in ranks), strict=True)), "no two widths"
