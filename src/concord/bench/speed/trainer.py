"""A step of Concord's trainer against one of TRL's, where TRL has the method too."""

from __future__ import annotations

import itertools
import statistics

from concord.bench.speed.table import SpeedTable
from concord.core.errors import MissingExtra
from concord.recipes.tool_task import base_model_path, conciseness, correctness, rows
from concord.recipes.tool_task import format as well_formed

RUNS, STEPS, PROMPTS, SEED = 4, 5, 8, 0


def trainer_table() -> SpeedTable:
    """Seconds a step, generation and rewards included, and the ratio of the same step in neighbouring runs.

    Both trainers sample the same tokens and end in the same place, which the note says; how TRL compares with its own
    next run is the noise.

    Raises:
        MissingExtra: TRL is not installed.
    """
    try:
        from concord.engines.trl.side_by_side import SAME, Ran, Setting, run
    except ImportError as error:
        raise MissingExtra.of("train", "trl") from error
    setting = Setting(
        base_model_path(SEED), rows("train", 64, SEED), (correctness, well_formed, conciseness), PROMPTS, steps=STEPS
    )
    lines: dict[str, tuple[str, ...]] = {}
    apart = 0.0
    for method in SAME:
        theirs: list[Ran] = []
        ours: list[Ran] = []
        for _ in range(RUNS):
            theirs.append(run(setting, method, concord=False))
            ours.append(run(setting, method, concord=True))
        apart = max(apart, float((theirs[-1].parameters - ours[-1].parameters).abs().max()))
        times, mine = [r.seconds for r in theirs], [r.seconds for r in ours]
        lines[f"TRL {method}"] = (_middle(times), _ratios(times[1:], times[:-1]))
        lines[f"Concord {method}"] = (_middle(mine), _ratios(mine, times))
    return SpeedTable(
        f"A step of training, {setting.prompts} prompts x {setting.group} rollouts, up to {setting.limit} tokens, "
        f"seed {SEED}, {RUNS} runs in turn",
        ("seconds", "to TRL's"),
        lines,
        f"the two trainers' parameters end up to {apart:.0e} apart; TRL's ratio is to its own last run",
    )


def _middle(runs: list[list[float]]) -> str:
    return f"{statistics.median(itertools.chain(*runs)):.3f}"


def _ratios(one: list[list[float]], other: list[list[float]]) -> str:
    ratios = [a / b for mine, theirs in zip(one, other, strict=True) for a, b in zip(mine, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
