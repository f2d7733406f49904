"""What the README shows works: its Python runs, its links and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from scripts.docs import generated

from concord.cli.main import app
from concord.rewards import NamedReward, RewardBatch, RewardSet
from concord.run.paths import shipped_recipes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_python_runs_and_says_the_truth() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    outcome = names["outcome"]
    assert outcome.keep.tolist() == [False, False, True, True]  # type: ignore[attr-defined]
    assert torch.equal(outcome.advantages[:2], torch.zeros(2))  # type: ignore[attr-defined]


def test_the_code_on_the_page_of_methods_runs() -> None:
    """Its table is generated: `tests/docs`."""
    page = (ROOT / "docs" / "methods.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, {"__name__": "docs"})


def test_its_links_lead_somewhere() -> None:
    built = {ROOT / "docs" / path for path in generated.pages()}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            place = (page.parent / target).resolve()
            assert place.exists() or place in built, f"{page.name}: {target}"


def test_its_commands_and_targets_exist() -> None:
    commands = {command.name for command in (*app.registered_commands, *app.registered_groups)}
    text = README + "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert set(re.findall(r"^concord (\w[\w-]*)", text, re.MULTILINE)) <= commands
    assert {"demo", "tool_calling", "tool_calling_two_rewards"} <= shipped_recipes().keys()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", README):
        assert f"\n{target}:" in makefile


FORMS = {"TRL": "trl", "verl": "verl", "OpenRLHF": "openrlhf", "ms-swift": "swift", "slime and miles": "slime"}
FORMS |= {"verifiers": "verifiers"}


@pytest.mark.parametrize("framework", FORMS)
def test_a_reward_of_every_framework_runs_as_the_page_has_it(framework: str) -> None:
    page = (ROOT / "docs" / "rewards.md").read_text()
    (code,) = re.findall(rf"^### {framework}\n.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    defined: dict[str, object] = {"__name__": "docs"}
    exec(code, defined)
    rewards = RewardSet([NamedReward("mine", next(reversed(defined.values())))])
    assert rewards.forms["mine"].startswith(FORMS[framework] + " (")
    scored = rewards.score(
        RewardBatch(["2 + 2?"] * 2, ["it is 4", "5"], columns={"answer": ["4", "4"], "label": ["4", "4"]})
    )
    assert scored.statuses == {"mine": ["scored"] * 2}
