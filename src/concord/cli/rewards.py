"""``concord rewards``: checking reward functions before a run trusts them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from concord.cli import output
from concord.cli.parameters import pairs
from concord.cli.printed import Printed
from concord.cli.samples import Row, Rows, configured_rows
from concord.core import safe_yaml
from concord.core.errors import ConfigError, MissingColumn
from concord.core.printable import printable
from concord.core.redaction import revealed
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
    form: Annotated[
        str | None,
        typer.Option(
            help="Its form, see `concord rewards forms`; or names, such as '{prompt: question, response: text}'."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Which of several scores that it returns by name.")] = None,
    options: Annotated[str | None, typer.Option(help="Its options as YAML, such as '{target: 200}'.")] = None,
    stated: Annotated[str | None, typer.Option("--range", help="The range that its scores keep, such as 0,1.")] = None,
    timeout: Annotated[str, typer.Option(help="Time for a call that has no limit of its own.")] = f"{TIMEOUT:g}s",
    chat: Annotated[bool, typer.Option("--chat", help="Hand on texts as messages.")] = False,
    group_relative: Annotated[
        bool, typer.Option("--group-relative", help="Its scores compare the completions of a batch, on purpose.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check what is expected of a reward function, and what it makes of empty, very long and hostile text.

    Exit code 1 if there is a fault; warnings are no fault.
    """
    limit, ends = _seconds(timeout), None if stated is None else _range(stated)
    rows = Rows(data, pairs("--columns", columns) or {}, size)
    printed = Printed()
    try:
        with printed:
            if _is_function(reward):
                given = _options(options, words or [])
                subject = _function(reward, rows, _form(form), key, given, group_relative)
            else:
                _refuse({"--form": form, "--key": key, "--options": options, "--range": stated})
                if group_relative:
                    raise ConfigError("--group-relative is for a function; in a configuration: group_relative: true")
                subject = _configuration(reward, rows, words or [])
            batch, supplied = make_batch(subject.rows, size, chat=chat)
            reports = _checked(subject.rewards, batch, ends, limit, printed.terminal, own=data is None)
    finally:
        if not json:
            printed.show()
    notes = [f"{len(batch)} completions", *subject.notes, *supplied]
    if json:
        said = {"printed": {"bytes": printed.size, "lines": printed.excerpt()}} if printed.size else {}
        output.print_json(_as_data(reports, notes) | said)
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


def _form(text: str | None) -> str | dict[str, str] | None:
    """A form's name, or a mapping of names in YAML."""
    if text is None or not text.lstrip().startswith("{"):
        return text
    return {str(key): value for key, value in _mapping("--form", text, "{prompt: question, response: text}").items()}


def _function(
    path: str,
    rows: Rows,
    form: str | dict[str, str] | None,
    key: str | None,
    options: Mapping[str, Any],
    group_relative: bool,
) -> Subject:
    name = path.rpartition(":")[2]
    reward = load(name, path, form=form, key=key, options=options, group_relative=group_relative)
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
    rewards: Sequence[NamedReward],
    batch: RewardBatch,
    stated: tuple[float, float] | None,
    limit: float,
    terminal: TextIO,
    own: bool,
) -> list[Report]:
    """The reports, with a progress bar on the terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    console = Console(file=terminal)
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
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
    options = {} if text is None else _mapping("--options", text, "{target: 200}")
    apply_overrides(options, words)
    opened: dict[str, Any] = revealed(options)
    return opened


def _mapping(option: str, text: str, example: str) -> dict[str, Any]:
    try:
        found = safe_yaml.read(text)
    except ConfigError as error:
        raise ConfigError(f"{option} {text[:200]!r}: not YAML ({error})") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{option} {text!r}: not names and values; write '{example}'")
    return found


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
