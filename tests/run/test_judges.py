"""Judges in a run's YAML: short, checked before anything is loaded, one reward a criterion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from concord.cli.main import main
from concord.core import safe_yaml
from concord.core.errors import ConfigError
from concord.run.config import RunConfig, load_config
from concord.run.launch.plan import RUN, plan
from concord.run.launch.score import compute_score
from concord.run.rewards import RewardConfig, build_rewards, check_rewards
from concord.run.train import train
from tests.rewards.judging.server import Served, completion, serving

HELPFUL = {
    "model": "my-judge",
    "prompt": "Rate from 1 to 10 how helpful the answer is.\n\nQuestion: {prompt}\n\nAnswer: {completion}\n\nScore:",
    "score": r"(\d+)",
    "scale": [1, 10],
}
CRITERIA = {"helpful": {"describe": "It answers the question.", "weight": 2.0}, "polite": "It is kind."}


def grade(body: dict[str, Any]) -> dict[str, Any]:
    """Grades by length, as a number or as JSON, as the question asks for."""
    question = body["messages"][-1]["content"]
    grade = 1 + len(question) % 10
    if question.endswith("Score:"):
        return completion(str(grade))
    named = {name: grade for name in CRITERIA if f"- {name}:" in question}
    return completion(f"So be it.\n{json.dumps(named)}")


@pytest.fixture
def server() -> Iterator[Served]:
    with serving(grade) as served:
        yield served


def configured(run_file: Path, rewards: dict[str, Any], *overrides: str) -> RunConfig:
    run = safe_yaml.read(run_file.read_text()) | {"rewards": rewards}
    run_file.write_text(safe_yaml.write(run))
    return load_config(run_file, overrides)


def checked(**rewards: dict[str, Any]) -> dict[str, RewardConfig]:
    return check_rewards({name: RewardConfig.model_validate(reward) for name, reward in rewards.items()})


def test_judges_in_a_run_and_its_check(
    run_file: Path, server: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-secret")
    common = {"url": server.url, "api_key": "env:JUDGE_KEY", "cache": "answers"}
    config = configured(
        run_file,
        {
            "judged": {"judge": HELPFUL | common, "on_error": "abstain"},
            "quality": {"judge": {"model": "m", "criteria": CRITERIA} | common, "weight": 0.5, "timeout": "30s"},
            "early": {"path": "my_rewards.py:early", "when": "quality_polite >= 0"},
        },
    )
    assert list(config.rewards) == ["judged", "quality_helpful", "quality_polite", "early"]
    assert {name: reward.weight for name, reward in config.rewards.items()} == {
        "judged": 1.0, "quality_helpful": 1.0, "quality_polite": 0.5, "early": 1.0,
    }  # fmt: skip

    folder = train(config, console=Console(quiet=True)).folder
    frame = pd.concat([pd.read_parquet(file) for file in sorted((folder / "rollouts").iterdir())])
    expected = [
        (len(HELPFUL["prompt"].format(prompt=p, completion=c)) % 10) / 9
        for p, c in zip(frame["prompt"], frame["completion"], strict=True)
    ]
    assert frame["reward/judged"].tolist() == pytest.approx(expected)
    assert frame["reward/quality_helpful"].tolist() == frame["reward/quality_polite"].tolist()
    assert frame["weight/quality_helpful"].tolist() == [1.0] * len(frame)
    assert set(frame["status/quality_polite"]) == {"scored"}
    both = [all(f"- {name}:" in question for name in CRITERIA) for question in server.questions]
    assert sum(both) == len(both) / 2  # one question asks for both criteria
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert "judge/quality/unreadable" in logged[0]
    assert load_config(folder / "config.yaml") == config
    stored = "".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".yaml", ".json", ".jsonl"))
    assert "env:JUDGE_KEY" in stored
    assert "sk-secret" not in stored
    assert list((run_file.parent / "answers").rglob("*.json"))

    monkeypatch.setattr("sys.argv", ["concord", "rewards", "check", str(run_file), "--size", "2", "--json"])
    with pytest.raises(SystemExit):
        main()
    reports = {report["reward"]: report for report in json.loads(capsys.readouterr().out)["rewards"]}
    assert list(reports) == list(config.rewards)
    verdicts = {finding["check"]: finding["verdict"] for finding in reports["quality_polite"]["findings"]}
    assert (verdicts["calls"], verdicts["order"], verdicts["hostile"]) == ("ok", "ok", "ok")


def test_the_rollouts_of_verl_are_judged_too(run_file: Path, server: Served) -> None:
    judge = {"url": server.url, "cache": False}
    config = configured(
        run_file,
        {"judged": {"judge": HELPFUL | judge}, "quality": {"judge": {"model": "m", "criteria": CRITERIA} | judge}},
    )
    folder = run_file.parent / "launch"
    plan(config, folder, nodes=1, gpus=4).write()
    found = compute_score("", "an answer", "4", {"prompt": "2 + 2?"}, run=str(folder / RUN))
    assert found.keys() == {"score", "judged", "quality_helpful", "quality_polite"}
    assert found["score"] == pytest.approx(found["judged"] + 2 * found["quality_helpful"] + found["quality_polite"])
    assert len(server.heard) == 2


@pytest.mark.parametrize(("calls", "questions"), [("one", 1), ("each", 2)])
def test_criteria_are_asked_together_or_each_by_itself(server: Served, calls: str, questions: int) -> None:
    from concord.rewards import RewardBatch, RewardSet

    judge = {"url": server.url, "model": "m", "criteria": CRITERIA, "calls": calls, "cache": False}
    rewards = RewardSet(build_rewards(checked(q={"judge": judge, "scale": 10.0})))
    scored = rewards.score(RewardBatch(["?"], ["a"]))
    assert set(scored.statuses) == {"q_helpful", "q_polite"}
    assert all(status == ["scored"] for status in scored.statuses.values())
    assert [sum(f"- {name}:" in question for name in CRITERIA) for question in server.questions] == (
        [2] if questions == 1 else [1, 1]
    )


def test_weights_of_the_whole_and_of_a_criterion(server: Served) -> None:
    def of(weight: Any, own: Any) -> Any:
        judge = {"url": server.url, "model": "m", "criteria": {"a": {"describe": "x", "weight": own}}}
        return checked(q={"judge": judge, "weight": weight})["q_a"].weight

    ramp = {"from": 0, "to": 1, "steps": 9}
    assert (of(0.5, 3.0), of(1.0, ramp), of(ramp, 1.0)) == (1.5, ramp, ramp)
    with pytest.raises(ValueError, match="a schedule is not multiplied with another weight"):
        of(ramp, 2.0)


def test_a_criterion_may_be_taken_alone(server: Served) -> None:
    judge = {"url": server.url, "model": "m", "criteria": CRITERIA}
    found = checked(mine={"judge": judge, "key": "polite", "weight": 0.3})
    assert {name: (reward.key, reward.weight) for name, reward in found.items()} == {"mine": ("polite", 0.3)}


URL = {"url": "http://127.0.0.1:9/v1"}


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ({"judge": HELPFUL | URL, "path": "a.py:f"}, "give one of path, url, model and judge, not 2"),
        (
            {"judge": HELPFUL | URL, "options": {"a": 1}},
            "options: what a judge takes stands under judge",
        ),
        ({"judge": HELPFUL | URL, "workers": 2}, "one completion at a time"),
        ({"judge": HELPFUL, "timeout": "5s"}, "a judge without url runs in the trainer's process"),
        ({"judge": HELPFUL | URL, "key": "polite"}, "the judge has no criterion 'polite'"),
        ({"judge": URL | {"model": "m", "criteria": CRITERIA}, "key": "polit"}, "'polit'; did you mean 'polite'"),
        ({"judge": HELPFUL | URL | {"promt": "x"}}, r"judge\.promt: unknown key; did you mean 'prompt'"),
        ({"judge": URL | {"prompt": "{completion}"}}, r"judge\.model: is required"),
        ({"judge": URL | {"model": "m"}}, "needs a prompt, with {completion}"),
        ({"judge": HELPFUL | URL | {"score": "("}}, "is not a regular expression"),
        ({"judge": HELPFUL | URL | {"scale": [1]}}, r"scale is \[worst, best\]"),
        ({"judge": HELPFUL | URL | {"api_key": "sk-secret"}}, "api_key names an environment variable, as env:NAME"),
        ({"judge": HELPFUL | {"api_key": "env:X"}}, "api_key: is for a server"),
        ({"judge": HELPFUL | {"url": "http://a:b@host/v1"}}, "has a password or query"),
        ({"judge": HELPFUL | URL | {"timeout": "soon"}}, "'soon' is no duration"),
        (
            {"judge": URL | {"model": "m", "criteria": {"not so": "x"}}},
            "letters, digits, _ and -, not 'not so'",
        ),
        ({"judge": URL | {"model": "m", "criteria": {"a": {"weight": 2}}}}, r"criteria\.a\.describe: is required"),
        ({"path": "my_rewards.py:early", "turns": "all"}, "turns is one of sum, last, mean, each; got 'all'"),
        ({"path": "my_rewards.py:early", "turns": "each"}, "turns: each needs a batch whose rows are turns"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    run_file: Path, reward: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        configured(run_file, {"early": {"path": "my_rewards.py:early"}, "odd": reward})
    assert "secret" not in str(raised.value)


def test_a_criterion_that_has_the_name_of_a_reward_is_refused() -> None:
    judge = URL | {"model": "m", "criteria": CRITERIA}
    with pytest.raises(ValueError, match="its criterion would be the reward 'q_polite', which is there already"):
        checked(q={"judge": judge}, q_polite={"path": "a.py:f"})
    with pytest.raises(ValueError, match="would be the reward 'a_b_c'"):
        checked(
            a={"judge": URL | {"model": "m", "criteria": {"b_c": "x"}}},
            a_b={"judge": URL | {"model": "m", "criteria": {"c": "x"}}},
        )


def test_folders_of_a_judge_start_at_the_files_folder(run_file: Path) -> None:
    (run_file.parent / "judges").mkdir()
    local = HELPFUL | {"model": "judges", "cache": "answers"}
    served = HELPFUL | URL | {"model": "judges"}
    config = configured(run_file, {"local": {"judge": local}, "served": {"judge": served}})
    found = {name: reward.judge for name, reward in config.rewards.items()}
    assert found["local"] is not None
    assert found["served"] is not None
    assert found["local"].model == str(run_file.parent / "judges")
    assert found["local"].cache == str(run_file.parent / "answers")
    assert found["served"].model == "judges"
