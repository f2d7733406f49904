"""The pages that a reader follows can be followed: files are written, commands and Python run, in order.

Trainings are shortened; what is run is otherwise what stands there (``tests/examples/pages.py``: how pages are marked).
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from concord.cli.main import app
from concord.core import catalogue, stage
from concord.core.errors import ConfigError
from concord.core.safe_yaml import read
from concord.run.config import load_config
from tests.examples.pages import ROOT, blocks, follow, run

DOCS = ROOT / "docs"
PAGES = [DOCS / "index.md", DOCS / "faq.md", *sorted(DOCS.glob("tutorials/*.md")), *sorted(DOCS.glob("concepts/*.md"))]
TUTORIALS = ["first_run", "diagnose", "rewards", "from_trl"]
"""In the order in which they are read: a page goes on with the folders of those before it, and so do the questions."""

STEP = ["engine.max_steps=1", "engine.per_device_train_batch_size=16", "data.size=64", "data.eval.size=4"]


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder of its own, and what a page registers is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    catalogue.names()  # all that is installed is registered before, and stays
    monkeypatch.setattr(catalogue, "_ENTRIES", dict(catalogue._ENTRIES))
    monkeypatch.setattr(stage, "_STAGES", dict(stage._STAGES))


def shorter(text: str) -> str:
    """A script or configuration with two steps and few rollouts."""
    text = re.sub(r"(max_steps[=:] ?)20\b", r"\g<1>2", text)
    return re.sub(r"(per_device_train_batch_size[=:] ?)64\b", r"\g<1>16", text)


def one_step(words: list[str]) -> int:
    return run([*words, *STEP] if words[:2] == ["concord", "train"] else words)


def no_step(words: list[str]) -> int:
    """A training's configuration is checked, and nothing is trained."""
    if words[:2] != ["concord", "train"]:
        return run(words)
    try:
        load_config(words[2], words[3:])
    except ConfigError:
        return 2
    return 0


@pytest.mark.timeout(600)  # half a minute of computing, but the machine may be shared
def test_the_tutorials_and_the_questions_can_be_followed() -> None:
    before: set[str] = set()
    for page in TUTORIALS:
        follow(DOCS / "tutorials" / f"{page}.md", shorter, one_step, before)
    follow(DOCS / "faq.md", shorter, no_step, before)


def test_the_tutorial_on_verl_can_be_followed_up_to_the_start_of_verl() -> None:
    follow(DOCS / "tutorials" / "verl_cluster.md", shorter, one_step)
    script = Path("runs/cluster-verl/command.sh").read_text()
    for line in ("actor_rollout_ref.rollout.n=8", "data.train_batch_size=128", "trainer.total_training_steps=100"):
        assert f"  {line} \\\n" in script


def test_the_tutorial_on_methods_can_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    # As `pip install -e .` would enter it; the page's own blocks write the rest.
    Path("fade-0.1.dist-info").mkdir()
    Path("fade-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: fade\nVersion: 0.1\n")
    Path("fade-0.1.dist-info/entry_points.txt").write_text("[concord.methods]\nfade = fade\n")
    monkeypatch.setattr(catalogue, "_plugins_loaded", False)
    follow(DOCS / "tutorials" / "write_a_method.md", shorter, one_step)
    tests = [test for name, test in runpy.run_path("test_fade.py").items() if name.startswith("test_")]
    assert len(tests) == 5  # as the page says
    for test in tests:
        test()


@pytest.mark.parametrize("page", ["index", *(f"concepts/{path.stem}" for path in DOCS.glob("concepts/*.md"))])
def test_the_pages_on_concepts_can_be_followed(page: str) -> None:
    follow(DOCS / f"{page}.md", shorter, one_step)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_of_configurations_are_valid(page: Path) -> None:
    run = {"model": "m", "method": "gd2po", "data": {"path": "rows.jsonl"}, "out": "runs/a"}
    names = ("right", "brief", "working", "judge")
    given = {name: {"path": f"my_rewards.py:{name}"} for name in names}
    for block in blocks(page):
        if block.language == "yaml" and not block.title:
            snippet = read(block.text)
            rewards = {**given, **snippet.pop("rewards", {})}
            Path("snippet.yaml").write_text(repr({**run, **snippet, "rewards": rewards}))
            load_config("snippet.yaml")


def test_blocks_are_marked_as_one_of_those_that_are_known_and_name_commands_that_exist() -> None:
    known = {command.name for command in (*app.registered_commands, *app.registered_groups)}
    for page in PAGES:
        for block in blocks(page):
            assert block.language in {"bash", "sh", "python", "yaml", "json", "toml", "text", "diff"}, page
            for line in block.text.splitlines() if block.language in {"bash", "sh"} else ():
                if line.startswith("concord "):
                    assert line.split()[1] in known, f"{page.name}: {line}"


def test_the_landing_page_says_the_truth_about_its_example() -> None:
    (code,) = (block.text for block in blocks(DOCS / "index.md") if block.language == "python")
    names: dict[str, object] = {}
    exec(code, names)
    assert len(code.strip().splitlines()) == 12
    assert names["outcome"].keep.tolist() == [False, False, True, True]  # type: ignore[attr-defined]
