"""The pages of the reference: what each package exports, from its docstrings."""

from __future__ import annotations

import inspect

import concord

PACKAGES = {
    "concord": "Everything that is imported from the top.",
    "concord.core": "The batch, the signal, chains.",
    "concord.core.errors": "The errors that are raised on purpose.",
    "concord.stages": "The steps that methods are made of.",
    "concord.functional": "The formulas, tensors in and tensors out.",
    "concord.objectives": "Policy and preference losses.",
    "concord.learners": "What trains beside the policy.",
    "concord.methods": "The catalogue. Each method also has [a page](../methods.md).",
    "concord.rewards": "Reward functions, servers and models.",
    "concord.rewards.published": "Rewards that papers published.",
    "concord.strategies": "Which rollouts are made, and which are used again.",
    "concord.engines.trl": "The TRL engine.",
    "concord.engines.trl.preference": "TRL's trainer of preference losses.",
    "concord.engines.slime": "The function for slime and miles.",
    "concord.engines.loop": "A plain training loop.",
    "concord.dumps": "Readers of rollout dumps, and the writer.",
    "concord.report": "What `concord diagnose` computes.",
    "concord.reward_models": "Training and evaluating a reward model.",
    "concord.bench": "What `concord bench` computes.",
}
"""Packages with a page, and a line about each."""
OF_MODULES = {"concord.functional", "concord.reward_models"}
"""Those that export nothing themselves: their modules are shown."""


def pages() -> dict[str, str]:
    """The Markdown of every page, by its path."""
    rows = "\n".join(f"| [{name}]({name}.md) | {line} |" for name, line in PACKAGES.items())
    about = "Made from the docstrings. For a terminal: [the command line](cli.md)."
    index = f"# Reference\n\n{about}\n\n| package | |\n|---|---|\n{rows}\n"
    return {"reference/index.md": index} | {f"reference/{name}.md": page(name) for name in PACKAGES}


def page(name: str) -> str:
    """A package's page; the top's is a list of links, since all that it exports is at home in another."""
    if name == "concord":
        summary, _, example = (inspect.getdoc(concord) or "").partition("\n\n")
        return f"# concord\n\n{summary}\n\n```pycon\n{example}\n```\n\n{top()}\n"
    options = "    options: {show_submodules: true}\n" if name in OF_MODULES else ""
    return f"# {name}\n\n::: {name}\n{options}"


def top() -> str:
    """What `import concord` has, and where it is described."""
    found = {name: getattr(concord, name) for name in concord.__all__ if not name.startswith("_")}
    rows = [
        f"| [`concord.{name}`][{value.__module__}.{name}] | {(inspect.getdoc(value) or '').partition(chr(10))[0]} |"
        for name, value in found.items()
    ]
    return "\n".join(["| name | |", "|---|---|", *rows]).replace("``", "`")
