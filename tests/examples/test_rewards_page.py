"""What the page on rewards says of judges and turns: its YAML is asked about, its Python run, its output printed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from concord.core import safe_yaml
from concord.rewards import RewardBatch, RewardSet
from concord.run.rewards import RewardConfig, build_rewards, check_rewards
from tests.examples.pages import ROOT
from tests.rewards.judging.server import completion, serving

PAGE = (ROOT / "docs" / "rewards.md").read_text()


def fenced(section: str, language: str) -> list[str]:
    """The blocks of one section, up to the next heading of its depth or less."""
    (text,) = re.findall(rf"^{section}\n(.*?)(?=^{section.split()[0]} |^## )", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def both(body: dict[str, Any]) -> dict[str, Any]:
    question = body["messages"][-1]["content"]
    return completion("7" if question.endswith("Score:") else json.dumps({"helpful": 7, "polite": 10}))


@pytest.mark.parametrize(
    ("section", "scores"),
    [
        ("## A language model as a judge", {"helpful": [6 / 9]}),
        ("### Several criteria", {"quality_helpful": [6 / 9], "quality_polite": [1.0]}),
    ],
)
def test_the_judges_of_the_page_judge(
    section: str, scores: dict[str, list[float]], monkeypatch: Any, tmp_path: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = fenced(section, "yaml")[0]
    with serving(both) as server:
        given = safe_yaml.read(text.replace("http://judge:8000/v1", server.url))["rewards"]
        rewards = check_rewards({name: RewardConfig.model_validate(reward) for name, reward in given.items()})
        found = RewardSet(build_rewards(rewards)).score(RewardBatch(["Why?"], ["Because."]))
    assert found.values == {name: pytest.approx(score) for name, score in scores.items()}
    assert len(server.heard) == 1


def test_the_judge_in_python_is_one(monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names: dict[str, Any] = {"__name__": "docs"}
    with serving(both) as server:
        exec(fenced("### A judge in Python", "python")[0].replace("http://judge:8000/v1", server.url), names)
        found = RewardSet(names["rewards"]).score(RewardBatch(["Why?"], ["Because."]))
    assert found.values == {"helpful": [pytest.approx(6 / 9)], "polite": [1.0]}


def test_the_environments_turns_are_scored_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    for code in fenced("## Turns", "python"):
        exec(code, names)
    assert capsys.readouterr().out == fenced("## Turns", "text")[0]
