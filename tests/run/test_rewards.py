"""Every kind of reward in one YAML file, from `concord train` to what `concord diagnose` says of it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console
from transformers import Qwen2Config, Qwen2ForSequenceClassification

from concord.core import redaction, safe_yaml
from concord.core.errors import ConfigError, RewardError
from concord.dumps.read import open_dump
from concord.report import analyse
from concord.run.config import RunConfig, load_config
from concord.run.train import train
from tests.engines import tiny

MINE = '''
import asyncio


def compute_score(data_source, solution_str, ground_truth, extra_info=None, *, strict):
    """verl's: two scores of one call."""
    words = solution_str.split()
    if not words:
        raise ValueError("nothing was written")
    return {"score": float(ground_truth in words), "varied": len(set(words)) / len(words), "strict": strict}


async def slow(args, sample, **kwargs):
    """slime's, which now and then does not answer."""
    await asyncio.sleep(3600 if sample.response.startswith(args.hangs_on) else 0.001)
    return sample.response_length / 8


def letters(completions, **kwargs):
    """TRL's, with a score for each word; a list may be empty."""
    return [[word in "abcdefgh" for word in text.split()] for text in completions]


class Brief:
    """ms-swift's."""

    def __call__(self, completions, **kwargs):
        return [1.0 - len(text.split()) / 8 for text in completions]
'''


class Judge(BaseHTTPRequestHandler):
    """OpenRLHF's server: the share of the letter a, and no answer at first."""

    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.asked % 2:
            self.send_response(503)
            self.end_headers()
            return
        answer = json.dumps({"rewards": [query.count("a") / max(1, len(query)) for query in body["query"]]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Judge.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/get_reward"
        http.shutdown()


@pytest.fixture
def judge_model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Qwen2Config(vocab_size=len(tiny.tokenizer()), num_key_value_heads=1, num_labels=1, pad_token_id=0, **size)
    Qwen2ForSequenceClassification(config).save_pretrained(tmp_path / "judge")
    tiny.tokenizer().save_pretrained(tmp_path / "judge")
    return tmp_path / "judge"


def configured(run_file: Path, rewards: dict[str, Any], *overrides: str) -> RunConfig:
    run = safe_yaml.read(run_file.read_text()) | {"rewards": rewards}
    run_file.write_text(safe_yaml.write(run))
    return load_config(run_file, overrides)


def test_every_kind_of_reward_in_one_run(run_file: Path, server: str, judge_model: Path) -> None:
    (run_file.parent / "mine.py").write_text(MINE)
    verl = {"path": "mine.py:compute_score", "options": {"strict": True}, "on_error": "abstain"}
    config = configured(
        run_file,
        {
            "right": verl,
            "varied": verl | {"key": "varied", "weight": {"from": 0.0, "to": 0.3, "steps": 3}},
            "slow": {"path": "mine.py:slow", "options": {"hangs_on": "a"}, "timeout": "500ms", "on_error": "zero"},
            "brief": {"path": "mine.py:Brief", "when": "right >= 1", "workers": 2},
            "judge": {"url": server, "timeout": "30s", "options": {"backoff": 0.0}},
            "helpful": {"model": "judge", "scale": -2.0, "clamp": [-1, 1], "weight": 0.1},
            "letters": {"path": "mine.py:letters", "turns": "mean", "workers": 1},
            "tags": {"path": "concord.rewards.toolrl:length", "weight": 0},
        },
    )
    lines = Console(record=True, width=200, file=io.StringIO())
    done = train(config, console=lines)
    said = lines.export_text()
    assert "right, varied: verl (parameters data_source, solution_str, ground_truth, extra_info)" in said
    assert "slow: slime (" in said
    frame = pd.concat([pd.read_parquet(file) for file in sorted((done.folder / "rollouts").iterdir())])
    texts = frame["completion"].tolist()

    written = [bool(text.split()) for text in texts]
    assert frame["status/right"].tolist() == ["scored" if there else "failed" for there in written]
    assert frame["status/varied"].tolist() == frame["status/right"].tolist()
    shares = [sum(c in "abcdefgh" for c in t.split()) / len(t.split()) if t.split() else None for t in texts]
    assert [None if pd.isna(value) else value for value in frame["reward/letters"]] == pytest.approx(shares)
    assert frame["status/letters"].tolist() == ["scored" if there else "abstained" for there in written]
    hung = [text.startswith("a") for text in texts]
    assert any(hung)
    assert frame["status/slow"].tolist() == ["timed out" if late else "scored" for late in hung]
    assert (frame["reward/slow"][hung] == 0).all()
    assert frame["gate/brief"].tolist() == (frame["reward/right"] >= 1).tolist()
    opened = frame["gate/brief"].to_numpy()
    assert (frame["reward/brief"][~opened & written] == 0).all()
    assert frame.groupby("step")["weight/varied"].first().tolist() == pytest.approx([0.0, 0.1, 0.2])
    prompts = frame["prompt"].tolist()
    shares = [(p + c).count("a") / max(1, len(p + c)) for p, c in zip(prompts, texts, strict=True)]
    assert frame["reward/judge"].tolist() == pytest.approx(shares, abs=1e-6)
    assert Judge.asked > 3  # each answer took a second attempt
    assert frame["reward/helpful"].between(-1, 1).all()
    assert frame["reward/helpful"].nunique() > 1

    facts = json.loads((done.folder / "run.json").read_text())["rewards"]
    assert facts["slow"]["sha256"] == hashlib.sha256(MINE.encode()).hexdigest()
    assert load_config(done.folder / "config.yaml") == config

    found = {reward.name: reward for reward in analyse(open_dump([done.folder / "rollouts"])).rewards}
    assert found["slow"].statuses["timed out"] == pytest.approx(sum(hung) / len(hung))
    if not all(written):
        assert found["right"].statuses["failed"] == pytest.approx(written.count(False) / len(written))


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ({}, r"rewards\.odd: give one of path, url, model and judge"),
        ({"path": "a.py:f", "url": "http://x"}, r"rewards\.odd: give one of path, url, model and judge, not 2"),
        ({"path": "a.py:f", "timeout": "soon"}, r"rewards\.odd\.timeout: 'soon' is no duration; write 5s"),
        ({"path": "a.py:f", "timeout": "0s"}, r"rewards\.odd: timeout must be a positive number of seconds, got 0"),
        ({"path": "a.py:f", "weight": {"from": 0, "to": 1}}, r"rewards\.odd\.weight: a schedule needs steps"),
        ({"path": "a.py:f", "scale": "0.5"}, r"rewards\.odd\.scale: .* \(got '0\.5'\)"),
        ({"path": "a.py:f", "concurrency": True}, r"rewards\.odd\.concurrency: .* \(got True\)"),
        ({"path": "a.py:f", "clamp": ["0", 1]}, r"rewards\.odd\.clamp\.0: .* \(got '0'\)"),
        ({"path": "a.py:f", "when": "odd"}, r"rewards\.odd: 'odd' is no condition on a reward"),
        ({"path": "a.py:f", "when": "erly > 0"}, r"there is no reward 'erly'; did you mean 'early'"),
        ({"path": "a.py:f", "on_error": "worst"}, r"rewards\.odd: on_error: worst needs both ends of clamp"),
        ({"path": "a.py:f", "on_eror": "zero"}, r"rewards\.odd\.on_eror: unknown key; did you mean 'on_error'"),
        ({"path": "a.py:f", "max_failed": 2}, r"rewards\.odd: max_failed is a share of the batch"),
        ({"model": "a/b", "timeout": "5s"}, r"rewards\.odd: a model runs in the trainer's process"),
    ],
)
def test_what_is_refused_before_anything_is_loaded(run_file: Path, reward: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured(run_file, {"early": {"path": "my_rewards.py:early"}, "odd": reward})


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ({"path": "my_rewards.py:early", "form": "verll"}, r"reward 'odd': no form 'verll'; did you mean 'verl'"),
        (
            {"path": "my_rewards.py:early", "options": {"strict": 1}},
            r"reward 'odd': early\(\) takes no option 'strict'",
        ),
        ({"url": "ftp://host"}, r"reward 'odd': .*http"),
        (
            {"url": "http://host", "options": {"retry": 1}},
            r"reward 'odd': options: there is no 'retry'.*mean 'retries'",
        ),
        ({"model": "./nowhere"}, r"reward 'odd': .*nowhere"),
    ],
)
def test_what_is_refused_before_the_first_step(run_file: Path, reward: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train(configured(run_file, {"odd": reward}), console=Console(quiet=True))


class Guarded(Judge):
    """A server that asks for a token, and quotes a wrong one."""

    def do_POST(self) -> None:
        sent = self.headers["Authorization"]
        if sent == "Bearer right-4711":
            type(self).asked = 1
            super().do_POST()
        else:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(401, f"no such token: {sent}")
            self.end_headers()


@pytest.fixture
def guarded() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/get_reward?token=query-1234"
        http.shutdown()


def everything_written(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.mark.parametrize("named", [True, False])
def test_a_token_is_sent_and_kept_nowhere(
    run_file: Path, guarded: str, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setenv("JUDGE_TOKEN", "right-4711")
    token = "env:JUDGE_TOKEN" if named else "right-4711"
    options = {"retries": 0, "headers": {"Authorization": f"Bearer {token}"}}
    judge = {"url": guarded, "options": options, "timeout": "30s"}
    config = configured(run_file, {"judge": judge}, "data.eval=null", "engine.max_steps=1")
    done = train(config, console=Console(quiet=True))
    written = everything_written(done.folder)
    assert not any(secret in written for secret in (b"right-4711", b"query-1234"))
    assert (b"Bearer env:JUDGE_TOKEN" in written) == named
    for name in ("config.yaml", "run.json"):
        assert stat.S_IMODE((done.folder / name).stat().st_mode) == 0o600


def test_a_wrong_token_is_not_quoted(run_file: Path, guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setenv("JUDGE_TOKEN", "wrong-1147")
    options = {"retries": 0, "headers": {"Authorization": "Bearer env:JUDGE_TOKEN"}}
    config = configured(run_file, {"judge": {"url": guarded, "options": options}}, "data.eval=null")
    with pytest.raises(RewardError, match="401 no such token: <secret>") as caught:
        train(config, console=Console(quiet=True))
    assert not any(secret in str(caught.value) for secret in ("wrong-1147", "query-1234"))
    judge = {"url": guarded.replace("//", "//user:pass-0815@"), "options": {"retries": 0}}
    config = configured(run_file, {"judge": judge}, "data.eval=null", f"out={run_file.parent}/by_password")
    with pytest.raises(RewardError, match="401 no such token: Basic <secret>"):
        train(config, console=Console(quiet=True))
    assert b"pass-0815" not in everything_written(config.out)
    configured(run_file, {"judge": judge | {"options": options}}, "data.eval=null")
    monkeypatch.delenv("JUDGE_TOKEN")
    with pytest.raises(ConfigError, match=r"reward 'judge': options\.headers\.Authorization: env:JUDGE_TOKEN names"):
        train(load_config(run_file, [f"out={run_file.parent}/other"]), console=Console(quiet=True))


def test_a_reward_model_without_a_chat_template_is_refused_at_the_start(run_file: Path, judge_model: Path) -> None:
    rows = [{"prompt": [{"role": "user", "content": "a b"}], "answer": "a"}] * 16
    (run_file.parent / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = tiny.tokenizer()
    words.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    tiny.model().save_pretrained(run_file.parent / "chatty")
    words.save_pretrained(run_file.parent / "chatty")
    chats = ["data={path: chats.jsonl}", "model=./chatty"]
    rewards = {"helpful": {"model": "judge"}}
    with pytest.raises(ConfigError, match=r"reward 'helpful': .* no chat template; .* options: {chat_template"):
        train(configured(run_file, rewards, *placed(chats, run_file.parent)), console=Console(quiet=True))
    assert not (run_file.parent / "runs").exists()


def placed(overrides: list[str], folder: Path) -> list[str]:
    """Overrides whose paths start at a folder, as if one stood there."""
    return [text.replace("chats.jsonl", f"{folder}/chats.jsonl").replace("./", f"{folder}/") for text in overrides]


def test_overrides_reach_a_schedule(run_file: Path) -> None:
    config = configured(run_file, {"early": {"path": "my_rewards.py:early"}}, "rewards.early.weight={0: 1, 2: 0.5}")
    assert config.rewards["early"].weight == {0: 1, 2: 0.5}
    config = load_config(run_file, ["rewards.early.weight={from: 0, to: 1, steps: 2}", "rewards.early.weight.to=3"])
    assert config.rewards["early"].weight == {"from": 0, "to": 3, "steps": 2}
