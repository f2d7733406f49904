"""``concord diagnose``."""

from __future__ import annotations

import importlib.util
import math
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from concord.cli import output
from concord.cli.parameters import pairs
from concord.core.errors import ConfigError, MissingExtra
from concord.core.printable import printable
from concord.dumps.read import open_dump
from concord.report import Analysis, analyse, gate, terminal
from concord.report.tables import write_tables

MOST_PATHS = 8
"""Each path is a run of its own; more of them are files of one run that a shell has listed."""


def command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="A dump: a file or a folder. Several are compared.")
    ],
    rewards: Annotated[str | None, typer.Option(help="The reward columns, such as a,b.")] = None,
    weights: Annotated[str | None, typer.Option(help="Their weights, such as a=1,b=0.5.")] = None,
    noise_floor: Annotated[
        str | None, typer.Option(help="How near to its group's mean a score says nothing, such as judge=0.001.")
    ] = None,
    group_by: Annotated[str | None, typer.Option(help="Columns that make a group, such as step,prompt.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="What columns are, such as prompt=question,completion=answer.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here, and the tables beside it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON.")] = False,
    fail_on: Annotated[
        list[str] | None, typer.Option(help="Exit with 1 if this holds, such as 'cancelled>0.4'; several are allowed.")
    ] = None,
) -> None:
    """Read the rollouts of any framework's run and say where its rewards conflict."""
    comparisons = gate.parse(fail_on or [])
    if len(paths) > MOST_PATHS:
        raise ConfigError(
            f"{len(paths)} paths, each of which would be a run of its own (at most {MOST_PATHS}); "
            "to read many files as one run, give their folder"
        )
    reading = Reading(
        _names("--rewards", rewards),
        _numbers("--weights", "weight", weights),
        _numbers("--noise-floor", "floor", noise_floor),
        _names("--group-by", group_by),
        pairs("--columns", columns),
    )
    if out is not None:
        _check_out(out)
    analyses = {name: _analyse(name, path, reading) for name, path in _named(paths).items()}
    if json:
        plain = {name: analysis.to_dict() for name, analysis in analyses.items()}
        output.print_json({"dumps": plain} if len(plain) > 1 else next(iter(plain.values())))
    if out is not None:
        _write(analyses, out)
    if out is None and not json:
        _show(analyses)
    else:
        _note(analyses)
    met = [f"{name}: {said}" for name, a in analyses.items() for c in comparisons if (said := c.met(a)) is not None]
    for line in met:
        output.stderr.print(Text(f"failed on {printable(line)}", "bold red"), soft_wrap=True)
    if met:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Reading:
    """How the dumps are to be read; None = found out."""

    rewards: list[str] | None
    weights: dict[str, float] | None
    noise_floor: dict[str, float] | None
    group_by: list[str] | None
    columns: dict[str, str] | None


def _analyse(name: str, path: Path, reading: Reading) -> Analysis:
    """Read one dump, with a progress bar."""
    dump = open_dump([path], rewards=reading.rewards, group_by=reading.group_by, columns=reading.columns)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=output.stderr,
        transient=True,
        disable=not output.stderr.is_terminal,
    )
    with bar:
        task = bar.add_task(escape(f"reading {printable(name)}"), total=dump.size or None)
        analysis = analyse(
            dump,
            weights=reading.weights,
            noise_floor=reading.noise_floor,
            progress=lambda: bar.update(task, completed=dump.position),
        )
    return analysis


def _show(analyses: Mapping[str, Analysis]) -> None:
    for name, analysis in analyses.items():
        if len(analyses) > 1:
            output.stdout.rule(escape(printable(name)))
        terminal.show(analysis, output.stdout)
    if len(analyses) > 1:
        output.stdout.rule("side by side")
        terminal.compare(analyses, output.stdout)


def _note(analyses: Mapping[str, Analysis]) -> None:
    """What the reader made of the files, for whoever looks at the terminal while the result goes elsewhere."""
    for name, analysis in analyses.items():
        for note in terminal.notes(analysis):
            output.stderr.print(Text(printable(f"{name}: {note}"), "dim"), soft_wrap=True)


def _write(analyses: Mapping[str, Analysis], out: Path) -> None:
    """The page, and beside it a folder of tables; one folder a run where there are several."""
    from concord.report.page import write_page

    folder = out.with_name(f"{out.stem}_tables")
    try:
        write_page(analyses, out, command=shlex.join(["concord", *sys.argv[1:]]))
        for number, analysis in enumerate(analyses.values(), start=1):
            write_tables(analysis, folder / str(number) if len(analyses) > 1 else folder)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}") from error
    for name, analysis in analyses.items():
        for sentence in analysis.verdict:
            output.stderr.print(Text(printable(f"{name}: {sentence}")), soft_wrap=True)
    output.stderr.print(Text(printable(f"{out}, tables in {folder}")), soft_wrap=True)


def _check_out(out: Path) -> None:
    """Before a long read: whether the page can be written at all."""
    if out.suffix.lower() not in (".html", ".htm") or out.is_dir():
        raise ConfigError(f"--out {out}: the page is one file, such as report.html")
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtra.of("report", "jinja2")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}") from error


def _named(paths: list[Path]) -> dict[str, Path]:
    """Each path by its last part if these differ, else by all of it."""
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"{path} is given twice")
    short = [os.path.basename(os.path.realpath(path)) for path in paths]
    return dict(zip(short if len(set(short)) == len(paths) else map(str, paths), paths, strict=True))


def _names(option: str, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"{option} {text!r}: not distinct names separated by commas")
    return names


def _numbers(option: str, what: str, text: str | None) -> dict[str, float] | None:
    given = pairs(option, text)
    numbers = {}
    for name, value in (given or {}).items():
        try:
            numbers[name] = float(value)
        except ValueError:
            numbers[name] = math.nan
        if not math.isfinite(numbers[name]):
            raise ConfigError(f"{option}: the {what} of {name!r} must be a finite number, got {value!r}")
    return None if given is None else numbers
