"""``concord rewards``: checking reward functions before a run trusts them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from concord.cli import output
from concord.cli.parameters import pairs
from concord.cli.samples import Row, Rows, configured_rows
from concord.core import safe_yaml
from concord.core.errors import ConfigError, MissingColumn
from concord.core.redaction import revealed
from concord.report.escaping import printable
from concord.rewards import Limits, NamedReward, RewardBatch, load
from concord.rewards.check import FAULT, OK, WARNING, Report, make_batch, own_rows
from concord.rewards.check import check as check_rewards
from concord.rewards.check.report import TIMEOUT
from concord.rewards.forms.detect import Recognised, get
from concord.rewards.forms.detect import forms as form_names
from concord.run.overrides import apply_overrides
from concord.run.section import seconds

app = typer.Typer(help="Check reward functions, and list the forms that they may have.", no_args_is_help=True)

STYLES = {OK: "green", WARNING: "yellow", FAULT: "bold red"}


@app.command("check")
def check(
    reward: Annotated[
        str, typer.Argument(help="file.py:function, package.module:function, or a run's YAML file or recipe.")
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Options of the function; of a YAML file overrides."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Rows: jsonl, json, csv, parquet, or a folder of them.")] = None,
    columns: Annotated[str | None, typer.Option(help="What columns are, such as prompt=question,answer=gold.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Completions to check with, the first ones.")] = 32,
    form: Annotated[str | None, typer.Option(help="The form that the function has; `concord rewards forms`.")] = None,
    key: Annotated[str | None, typer.Option(help="Which of several scores that it returns by name.")] = None,
    options: Annotated[str | None, typer.Option(help="Its options as YAML, such as '{target: 200}'.")] = None,
    stated: Annotated[str | None, typer.Option("--range", help="The range that its scores keep, such as 0,1.")] = None,
    timeout: Annotated[str, typer.Option(help="Time for a call that has no limit of its own.")] = f"{TIMEOUT:g}s",
    chat: Annotated[bool, typer.Option("--chat", help="Hand on texts as messages.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check what is expected of a reward function, and what it makes of empty, very long and hostile text.

    Exit code 1 if there is a fault; warnings are no fault.
    """
    limit, ends = _seconds(timeout), None if stated is None else _range(stated)
    rows = Rows(data, pairs("--columns", columns) or {}, size)
    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is not our result
        if _is_function(reward):
            subject = _function(reward, rows, form, key, _options(options, words or []))
        else:
            _refuse({"--form": form, "--key": key, "--options": options, "--range": stated})
            subject = _configuration(reward, rows, words or [])
        batch, supplied = make_batch(subject.rows, size, chat=chat)
        reports = _checked(subject.rewards, batch, ends, limit, own=data is None)
    notes = [f"{len(batch)} completions", *subject.notes, *supplied]
    if json:
        output.print_json(_as_data(reports, notes))
    else:
        _show(reports, notes)
    if any(report.faults for report in reports):
        raise typer.Exit(1)


@app.command("forms")
def forms(json: Annotated[bool, typer.Option("--json", help="Print the forms as JSON.")] = False) -> None:
    """List the forms that a reward function may have, and how each looks."""
    named_forms: dict[str, list[str]] = {}
    for name in form_names():
        named_forms.setdefault(get(name).name, []).append(name)
    found = {name: cast(Recognised, get(name)) for name in named_forms}
    if json:
        output.print_json(
            {
                name: {"framework": form.framework, "signature": form.signature, "names": named_forms[name]}
                for name, form in found.items()
            }
        )
        return
    table = Table("form", "framework", "signature", box=None, padding=(0, 2, 0, 0))
    for name, form in found.items():
        table.add_row(f"[bold]{', '.join(named_forms[name])}[/]", form.framework, escape(form.signature))
    output.stdout.print(table)


class Subject(NamedTuple):
    """What is checked: rewards, the rows that they are asked about, and what to say of these."""

    rewards: list[NamedReward]
    rows: list[Row]
    notes: list[str]


def _is_function(reward: str) -> bool:
    return reward.endswith(".py") or (":" in reward and not reward.endswith((".yaml", ".yml")))


def _function(path: str, rows: Rows, form: str | None, key: str | None, options: Mapping[str, Any]) -> Subject:
    reward = load(path.rpartition(":")[2], path, form=form, key=key, options=options)
    if rows.path is None:
        return Subject([reward], own_rows(), ["the rows are Concord's own: give yours with --data"])
    return Subject([reward], *rows.read())


def _refuse(options: Mapping[str, str | None]) -> None:
    for option, value in options.items():
        if value is not None:
            raise ConfigError(f"{option} is for a function; in a configuration it stands with the reward")


def _configuration(run: str, rows: Rows, overrides: Sequence[str]) -> Subject:
    from concord.run.config import load_config
    from concord.run.quiet import hush

    config = load_config(run, overrides)
    hush()
    rewards = list(config.named_rewards())
    if rows.path is None:
        configured = configured_rows(config.data, rows.size, config.seed)
        return Subject(rewards, configured, [f"the rows are those of {config.data.path}"])
    return Subject(rewards, *rows.read({"prompt": config.data.prompt, "answer": config.data.answer}))


def _checked(
    rewards: Sequence[NamedReward], batch: RewardBatch, stated: tuple[float, float] | None, limit: float, own: bool
) -> list[Report]:
    """The reports, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    console = output.stderr
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("asking", total=None)
        try:
            return check_rewards(
                rewards,
                batch,
                stated=stated,
                timeout=limit,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except MissingColumn as error:
            if not own:
                raise
            raise ConfigError(f"{error} (or give rows that have it, with --data)") from error


def _options(text: str | None, words: Sequence[str]) -> dict[str, Any]:
    try:
        options = {} if text is None else safe_yaml.read(text)
    except ConfigError as error:
        raise ConfigError(f"--options: not YAML ({error})") from error
    if not isinstance(options, dict):
        raise ConfigError(f"--options {text!r}: not names and values; write '{{target: 200}}'")
    apply_overrides(options, words)
    opened: dict[str, Any] = revealed(options)
    return opened


def _seconds(text: str) -> float:
    try:
        return Limits(timeout=seconds(safe_yaml.read(text))).timeout or TIMEOUT
    except ConfigError as error:
        raise ConfigError(f"--timeout {text!r}: {error}") from error


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not low < high:
        raise ConfigError(f"--range {text!r}: not the least and the greatest score, such as 0,1")
    return low, high


def _as_data(reports: Sequence[Report], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "rewards": [dataclasses.asdict(report) for report in reports],
        "faults": sum(report.faults for report in reports),
        "warnings": sum(report.warnings for report in reports),
        "notes": list(notes),
    }


def _show(reports: Sequence[Report], notes: Sequence[str]) -> None:
    console = output.stdout
    for report in reports:
        console.print(Text.assemble((printable(report.reward), "bold"), f"  {printable(report.form)}"), soft_wrap=True)
        table = Table("check", "verdict", "what was seen", box=None, padding=(0, 2, 0, 0))
        for finding in report.findings:
            said = Text(printable(finding.seen))
            if finding.advice:
                said.append(f"\n{printable(finding.advice)}", "dim")
            table.add_row(finding.check, Text(finding.verdict, STYLES[finding.verdict]), said)
        console.print(table)
        console.print()
    faults, warnings = (sum(getattr(report, kind) for report in reports) for kind in ("faults", "warnings"))
    console.print(f"{faults} fault{'s' * (faults != 1)}, {warnings} warning{'s' * (warnings != 1)}")
    for note in notes:
        console.print(Text(printable(note), "dim"), soft_wrap=True)
