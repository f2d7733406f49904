"""``concord bench``."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from concord.cli import output
from concord.core.errors import ConfigError

METHODS = "grpo gdpo gd2po gd2po_hard"
QUICK_TASKS = "tools3:steps=12 safety:steps=12 bandit:steps=20"
QUICK_METHODS = "grpo gdpo gd2po random_mask"
PAGE = "bench.html"


def command(
    quick: Annotated[bool, typer.Option("--quick", help="A small comparison, minutes on two cores.")] = False,
    tasks: Annotated[str | None, typer.Option(help="Separated by spaces: 'tools3 safety:group=16'.")] = None,
    methods: Annotated[str | None, typer.Option(help="Separated by spaces: 'gdpo gd2po:tau=0.5 random_mask'.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each; 16, or 4 with --quick.")] = None,
    out: Annotated[Path, typer.Option(help="A folder; runs that it holds are not made again.")] = Path("runs/bench"),
    baseline: Annotated[str, typer.Option(help="The method that the others are compared with.")] = "gdpo",
    processes: Annotated[
        int | None, typer.Option(min=1, help="At a time, one thread each; the cores if left out.")
    ] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Time and memory instead of learning; minutes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare methods on small tasks whose rewards conflict, seed by seed, with intervals and tests."""
    if speed:
        _speed(json)
        return
    from concord import bench
    from concord.bench.page import write_page
    from concord.bench.terminal import show

    chosen_tasks = _words("--tasks", tasks or (QUICK_TASKS if quick else " ".join(bench.TASKS)))
    controls = " ".join(bench.CONTROLS)
    chosen_methods = _words("--methods", methods or (QUICK_METHODS if quick else f"{METHODS} {controls}"))
    if baseline not in chosen_methods:
        raise ConfigError(f"the baseline {baseline!r} is not among the methods {', '.join(chosen_methods)}")
    wanted = bench.jobs(chosen_tasks, chosen_methods, seeds or (4 if quick else 16))
    runs = bench.run_all(wanted, out, processes=processes or os.cpu_count() or 1, console=output.stderr)
    parquet = bench.write_parquet(runs, out)
    summary = bench.summarise(runs, baseline)
    line = shlex.join(["concord", *sys.argv[1:]])
    write_page(summary, runs, out / PAGE, command=line)
    if json:
        output.print_json(bench.as_data(summary))
        return
    show(summary, output.stdout)
    output.stdout.print(f"\n{os.path.relpath(out / PAGE)}  {os.path.relpath(parquet)}", soft_wrap=True)


def _speed(json: bool) -> None:
    import torch

    from concord.bench.speed import signal_table, trainer_table, update_table
    from concord.bench.terminal import show_speed

    torch.set_num_threads(1)
    tables = []
    for make in (signal_table, update_table, trainer_table):
        tables.append(make())
        if not json:
            show_speed(tables[-1], output.stdout)
    if json:
        output.print_json([dataclasses.asdict(table) for table in tables])


def _words(option: str, text: str) -> list[str]:
    words = text.split()
    if not words:
        raise ConfigError(f"{option} names nothing")
    if twice := sorted({word for word in words if words.count(word) > 1}):
        raise ConfigError(f"{option} names {', '.join(twice)} twice")
    return words
