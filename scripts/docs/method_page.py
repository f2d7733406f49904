"""The page of a method, from its card, its docstring and the object that it builds."""

from __future__ import annotations

import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from scripts.docs import benchmark, docstring
from scripts.docs.parts import built, by_place, call, composition, written

from concord.core import safe_yaml
from concord.core.catalogue import Card, builder, info
from concord.methods import Method
from concord.run.paths import shipped_recipes

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = ("Formula", "Parameters", "Parts", "Needs", "Numerics", "Paper and code", "Parity", "Benchmark")
SECTIONS += ("Configuration",)
KINDS = {
    "advantage": "Advantages: from rewards to how hard each rollout is pushed",
    "loss": "Policy losses",
    "preference": "Preference losses",
    "strategy": "Which rollouts are made",
    "reward": "Rewards",
}
"""What a method changes, in the order of the pages; see :data:`concord.core.catalogue.Kind`."""

USERS = frozenset({"answers", "demo_reward", "similarity", "turn_rewards"})
"""Columns that a function of the user's gives, in a run (``columns``)."""


def page(name: str) -> str:
    """The whole page as Markdown, every section of :data:`SECTIONS` in it."""
    card, build = info(name), builder(name)
    text = docstring.parse(inspect.getdoc(build) or "")
    made = built(build)
    parts = {
        "Formula": f"`{card.formula}`\n\n{text.body}",
        "Parameters": parameters(build, text),
        "Parts": composition(made, build),
        "Needs": needs(card, made),
        "Numerics": numerics(build, text),
        "Paper and code": paper_and_code(card, text),
        "Parity": parity(card),
        "Benchmark": benchmark.section(name, card, made, benchmark.record()),
        "Configuration": configuration(name, build, made),
    }
    head = f"# {name}\n\n{text.summary}\n\n*{card.title}*, [arXiv:{card.arxiv}](https://arxiv.org/abs/{card.arxiv}). "
    head += f"Kind: {card.kind}. In a terminal: `concord show {name}`."
    if (DOCS / f"{name}.md").exists():
        head += f" It also has [a guide](../{name}.md)."
    return "\n\n".join([head, *(f"## {title}\n\n{parts[title].strip()}" for title in SECTIONS)]) + "\n"


def parameters(build: Callable[..., Any], text: docstring.Docstring) -> str:
    """A row a parameter: its default, and what the docstring says."""
    signature = inspect.signature(build).parameters
    if not signature:
        return "None."
    lines = ["| parameter | default | |", "|---|---|---|"]
    for name, parameter in signature.items():
        default = "" if parameter.default is parameter.empty else f"`{cell(written(parameter.default))}`"
        lines.append(f"| `{name}` | {default} | {cell(text.arguments.get(name, ''))} |")
    return "\n".join(lines)


def needs(card: Card, made: Any) -> str:
    """What an engine must supply beside rewards."""
    found = [f"the column `{column}`" for column in sorted(getattr(made, "needs", ()))]
    found += [*getattr(made, "needs_further", ()), *card.needs]
    return "\n".join(f"- {need}" for need in found) or "Rewards, and who is in which group; nothing else."


def numerics(build: Callable[..., Any], text: docstring.Docstring) -> str:
    """What the parameter of that name says, and the parts that differ between its values."""
    if "numerics" not in inspect.signature(build).parameters:
        return "It has no `numerics`: its constants are the same in every engine. [Numerics](../numerics.md)."
    said = text.arguments.get("numerics", "")
    said = said[:1].upper() + said[1:]
    values = typing.get_args(typing.get_type_hints(build).get("numerics"))
    variants = [by_place(built(build, numerics=value)) for value in values]
    labels = list(dict.fromkeys(label for variant in variants for label in variant))
    rows = [[variant.get(label, "") for variant in variants] for label in labels]
    lines = [f"| | {' | '.join(f'`{value!r}`' for value in values)} |", "|---|" + "---|" * len(values)]
    differing = [
        f"| {label} | {' | '.join(f'`{cell(value)}`' if value else '' for value in row)} |"
        for label, row in zip(labels, rows, strict=True)
        if len(set(row)) > 1
    ]
    table = "\n".join(lines + differing) if differing else "The parts are the same in every set."
    return f"{said}\n\n{table}\n\n[What holds in every set](../numerics.md#what-holds-in-every-set)."


def paper_and_code(card: Card, text: docstring.Docstring) -> str:
    """The reference code; what the docstring says of differences; which parameters cite paper or code."""
    codes = [f"[{c}]({url})" if (url := repository(c)) else c for c in card.code.split(", ") if c]
    said = [
        f"Reference code: {', '.join(codes)}." if codes else "No reference code was read.",
        f"Source: {text.source}" if text.source else "",
        text.remarks,
    ]
    cited = [f"`{name}`" for name, about in text.arguments.items() if re.search(r"\b(paper|authors|script)", about)]
    if cited:
        said.append(f"The table of parameters cites them too, on {', '.join(cited)}.")
    return "\n\n".join(part for part in said if part)


def repository(code: str) -> str:
    """The address of "owner/repository@commit"; empty if it is none."""
    place, _, commit = code.split(" ")[0].partition("@")
    return f"https://github.com/{place}/tree/{commit}" if place.count("/") == 1 and commit else ""


def parity(card: Card) -> str:
    """What the numbers were compared with, and where the comparison is."""
    against = f"Compared with: {card.parity}." if card.parity else "Compared with nothing outside this repository."
    sure = "was read in the authors' code or paper" if card.certainty == "high" else "is not certain"
    return f"{against} The definition {sure}. [How it is checked](../numerics.md#how-it-is-checked)."


def configuration(name: str, build: Callable[..., Any], made: Any) -> str:
    """The method with all its defaults, in a run's file or in Python, and the recipes that ship with it."""
    if "preference pairs" in info(name).needs:
        arguments = {key: value for key, value in defaults(name, build).items() if key != "name"}
        return f"With TRL's trainer of preference losses:\n\n```python\n{preference(name, arguments)}\n```"
    if not isinstance(made, Method):
        return f"```python\n{call(name, build)}\n```"
    section: dict[str, Any] = {"method": defaults(name, build)}
    if made.objective.needs_reference:  # TRL's option has the method's name
        section["engine"] = {"beta": section["method"].pop("beta")}
    if columns := sorted(made.needs & USERS):
        section["columns"] = {column: f"my_run.py:{column}" for column in columns}
    settings = safe_yaml.write(section)
    where = "In a [run](../runs.md) whose engine supplies what it needs. "
    where += "The defaults are the paper's or its code's, unless the table says otherwise."
    said = [f"{where}\n\n```yaml\n{settings.rstrip()}\n```"]
    for recipe, (method, text) in recipes().items():
        if method != name:
            continue
        block = textwrap.indent(f"```yaml\n{text.rstrip()}\n```", "    ")
        said.append(f'??? example "A recipe that ships: `concord train {recipe}`"\n\n{block}')
    if re.search(rf"`{name}`|name[:=] ?{name}\b|--method {name}\b", (DOCS / "recipes.md").read_text()):
        said.append("See also [the papers' recipes](../recipes.md#methods).")
    return "\n\n".join(said)


def preference(name: str, arguments: Mapping[str, Any]) -> str:
    """The arguments of TRL's trainer, in its form."""
    return "\n".join(
        [
            "from concord.engines.trl.preference import ConcordDPOConfig, ConcordDPOTrainer",
            "",
            f'args = ConcordDPOConfig(output_dir="runs/{name}", method="{name}", method_args={dict(arguments)})',
        ]
    )


def defaults(name: str, build: Callable[..., Any]) -> dict[str, Any]:
    """The ``method`` section of a run that changes nothing; parameters whose default is nothing are left out."""
    given = {key: parameter.default for key, parameter in inspect.signature(build).parameters.items()}
    return {"name": name} | {key: plain(value) for key, value in given.items() if value not in (None, (), {})}


def plain(value: Any) -> Any:
    """Tuples as lists, for YAML."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


@cache
def recipes() -> dict[str, tuple[str, str]]:
    """The shipped recipes of runs: by name, the method that each trains with and its text."""
    found = {}
    for recipe, file in shipped_recipes().items():
        text = Path(file).read_text()
        method = (safe_yaml.read(text) or {}).get("method")
        found[recipe] = method.get("name") if isinstance(method, dict) else method, text
    return found


def cell(text: str) -> str:
    """Markdown that may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def verbatim(text: str) -> str:
    """Plain text, a formula's say, in which Markdown sees nothing of its own."""
    return re.sub(r"([*_\[\]`])", r"\\\1", text).replace("<", "&lt;")
