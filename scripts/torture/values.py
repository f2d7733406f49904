"""Hostile completions, configurations and tensors, through rewards, the reader of YAML, and every method."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
from scripts.torture.mutations import HOSTILE_TEXTS, damage, junk, spoil
from tests.batches import make_columns
from tests.rewards.builtin.test_contract import CASES

from concord import Groups, Rollouts, create, names
from concord.cli.parameters import parse
from concord.core import safe_yaml
from concord.rewards.builtin.containment import containment, run
from concord.run.config import load_config

TEXTS = 16
"""Completions of a call, each of which is an input."""

METHODS = names("*", "advantage", "loss")

RUN: dict[str, Any] = {
    "model": "builtin:tool_task/seed0",
    "method": {"name": "gd2po", "tau": 0.5},
    "data": {"path": "builtin:tool_task", "size": 8, "eval": {"split": "test", "size": 4}},
    "rewards": {
        "correctness": {"path": "concord.recipes.tool_task:correctness", "weight": 1.0},
        "format": {"path": "concord.recipes.tool_task:format"},
    },
    "engine": {"max_steps": 2, "num_generations": 4, "per_device_train_batch_size": 8, "use_cpu": True},
    "out": "run",
}

PIECES = (
    "```python\n", "```", "<answer>", "</answer>", "<think>", "\\boxed{", "}", "{", "[", '"a": ', "1e999", "9**9**9",
    "\\frac{1}{0}", "$", "\n", "\x00", "\x1b[2J", "\u202e", "\ud800", "x" * 3000, "<tool_call>", "é", "字" * 200,
    "\\", "1",
)  # fmt: skip

PROGRAMS = (
    "print('\\x1b]0;T\\x07' * 99)", "import sys; sys.stdout.write('\\udcff')", "import os; os.write(1, b'\\xff' * 99)",
    "while True: print('x' * 10**6)", "raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)", "x = [0] * 10**10",
    "import os\nwhile True: os.fork()", "def f(): f()\nf()", "\x00", "import os; os.listdir('/proc/1')", "(" * 5000,
)  # fmt: skip


def completions(rng: Random, folder: Path) -> int:
    """Texts of the pieces that rewards look for, through one built-in reward."""
    case = rng.choice([case for case in CASES if case.name != "code_tests"])
    texts: list[Any] = []
    for _ in range(TEXTS):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))
        shape = rng.randrange(8)
        texts.append(text if shape else [{"role": "assistant", "content": junk(rng) if rng.random() < 0.3 else text}])
    for score in case.scores(texts):
        if score is not None and not case.low - 1e-9 <= score <= case.high + 1e-9:
            raise AssertionError(f"{case.name} gave {score}")
    return TEXTS


def programs(rng: Random, folder: Path) -> int:
    """Programs that mean harm, contained: what they print comes back as text, or nothing does."""
    program = rng.choice(PROGRAMS) if rng.random() < 0.8 else "".join(rng.choice(PIECES) for _ in range(5))
    order = [{"input": rng.choice(HOSTILE_TEXTS)}, {"test": rng.choice(("assert True", "\x00", program))}]
    for came in run(program, order, timeout=0.5, memory=2**29, level=containment()):
        if not (came is None or isinstance(came, bool | str)):
            raise AssertionError(f"a run came to {came!r}")
    return len(order)


def configurations(rng: Random, folder: Path) -> int:
    """A run's YAML with spoilt values, or spoilt bytes, and overrides; parameters on the command line."""
    path = folder / "run.yaml"
    text = json.dumps(spoil(rng, RUN)) if rng.random() < 0.7 else safe_yaml.write(RUN)
    path.write_bytes(damage(rng, text.encode("utf-8", "surrogatepass"), 0.4))
    if rng.random() < 0.2:
        parse([f"tau={rng.choice(HOSTILE_TEXTS)}"], ["tau"])
        return 1
    key = rng.choice(("method.tau", "engine.max_steps", "data", "rewards.format.weight", "seed", "out", "peft", "a.b"))
    value = rng.choice((*HOSTILE_TEXTS, "&a [*a]", "!!python/object:os.system {}", "{a: {b: 1}}", "1:30", "2026-13-45"))
    load_config(path, [f"{key}={value}"] if rng.random() < 0.5 else [])
    return 1


def tensors(rng: Random, folder: Path) -> int:
    """Odd scores, shapes, dtypes, groups and columns, through one method; finite advantages or a clear error."""
    dtype = rng.choice((torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool))
    sizes = [rng.choice((1, 2, 4, 9)) for _ in range(rng.randrange(1, 5))]
    count, kinds = sum(sizes), rng.randrange(1, 5)
    odd = (0.0, 1.0, float("nan"), float("inf"), -float("inf"), 5e-324, 1e-40, 1e30, -1e30, rng.random())
    scores = torch.tensor([[rng.choice(odd) for _ in range(kinds)] for _ in range(count)], dtype=torch.float64)
    columns = make_columns(torch.Generator().manual_seed(rng.randrange(2**31)), count, torch.float32)
    for name in rng.sample(sorted(columns), rng.randrange(3)):
        if rng.random() < 0.5:
            del columns[name]
        else:
            columns[name] = rng.choice(
                (columns[name].float() * float("nan"), columns[name][:1], columns[name].double())
            )
    groups = Groups.of([p for p, size in enumerate(sizes) for _ in range(size)])
    batch = Rollouts(
        scores.nan_to_num().to(dtype) if dtype == torch.int64 else scores.to(dtype), groups, "abcd"[:kinds], columns
    )
    outcome = create(rng.choice(METHODS)).signal(batch)
    if not outcome.advantages.isfinite().all() and scores.to(dtype).abs().nan_to_num(0, 0).max() <= 1e4:
        raise AssertionError(f"advantages {outcome.advantages.tolist()}"[:300])
    return 1
