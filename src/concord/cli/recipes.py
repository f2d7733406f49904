"""``concord recipes``."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from concord.cli import output
from concord.core.errors import ConfigError, UnknownName, nearest

app = typer.Typer(help="List the recipes that ship, with what they cost; copy one.")


@app.callback(invoke_without_command=True)
def list_recipes(
    ctx: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False
) -> None:
    """List the recipes that ship, with estimates of what they cost."""
    if ctx.invoked_subcommand is not None:
        return
    from concord.reward_models.config import load_config as load_reward_model
    from concord.reward_models.config import shipped_recipes as shipped_reward_models
    from concord.reward_models.cost import estimate as estimate_reward_model
    from concord.run.config import load_config
    from concord.run.cost import Cost, estimate
    from concord.run.paths import shipped_recipes

    rows: dict[str, tuple[str, Path, str, Cost]] = {}
    for name, file in shipped_recipes().items():
        config = load_config(name)
        rows[name] = ("train", file, config.model, estimate(config))
    for name, file in shipped_reward_models().items():
        trained = load_reward_model(name)
        rows[name] = ("reward-model", file, trained.model, estimate_reward_model(trained))
    if json:
        listed = {
            name: {"command": command, "what": _title(file), "model": model, **dataclasses.asdict(cost)}
            for name, (command, file, model, cost) in rows.items()
        }
        output.print_json(listed)
        return
    table = Table("command", "parameters", "memory", "tokens", "what it is", box=None, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for column in table.columns[1:4]:
        column.justify, column.no_wrap = "right", True
    for name, (command, file, _, cost) in rows.items():
        numbers = _short(cost.parameters), f"{_short(cost.memory, 'G')}B", _short(cost.tokens)
        table.add_row(f"{command} [bold]{name}[/]", *numbers, escape(_title(file)))
    output.stdout.print(table)
    output.stdout.print(
        "\nEstimates. memory: weights, gradients and AdamW's state, over all devices; activations and caches come on "
        "top. tokens: of one update, at most.",
        soft_wrap=True,
    )


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A recipe that ships.")],
    to: Annotated[Path | None, typer.Option(help="File or folder; ./NAME.yaml.")] = None,
) -> None:
    """Copy a recipe into a file of your own; its relative paths then start at that file."""
    from concord.reward_models.config import shipped_recipes as shipped_reward_models
    from concord.run.paths import shipped_recipes

    recipes = shipped_recipes() | shipped_reward_models()
    if name not in recipes:
        raise UnknownName(f"no recipe {name!r}{nearest(name, recipes)}; there are {', '.join(recipes)}")
    target = to or Path()
    target = target / f"{name}.yaml" if target.is_dir() else target
    if target.exists():
        raise ConfigError(f"{target} exists; name another file with --to")
    if not target.parent.is_dir():
        raise ConfigError(f"no folder {target.parent}; make it, or name another with --to")
    shutil.copyfile(recipes[name], target)
    output.stdout.print(str(target), soft_wrap=True, markup=False)


def _title(file: Path) -> str:
    """The recipe's first line, a comment."""
    return file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").rstrip(".")


def _short(number: float | None, billion: str = "B") -> str:
    """A number in two or three digits, with its unit.

    Example:
        >>> _short(1.54e9), _short(128.5e9, "G"), _short(137216.0), _short(None)
        ('1.5 B', '128 G', '137 k', '?')
    """
    if number is None:
        return "?"
    size, unit = next(((size, unit) for size, unit in ((1e9, billion), (1e6, "M")) if number >= size), (1e3, "k"))
    return f"{number / size:.{1 if number < 10 * size else 0}f} {unit}"
