"""``concord reward-model`` as a user runs it: trained, compared, evaluated again, and dropped into a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from concord.cli.main import main
from concord.core import safe_yaml
from concord.engines.defaults import REWARD_MODEL
from concord.reward_models import train
from concord.reward_models.config import load_config as load_reward_model
from concord.reward_models.residual import length_slope
from concord.reward_models.score import score
from concord.rewards.model import RewardModel
from concord.run.config import load_config
from tests.data import preferences as made
from tests.reward_models import tiny


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]

POLICY = {
    "model": "builtin:tool_task/seed0",
    "method": "gd2po",
    "data": {"path": "builtin:tool_task", "size": 8},
    "rewards": {"helpful": {"model": "runs/a/dir/model"}},
    "out": "runs/policy",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process, in an empty folder."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["concord", *words])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.saved(tmp_path_factory.mktemp("base"))


def rows(count: int, seed: int = 0) -> made.Rows:
    """Conversations of letters."""
    return [
        {
            side: [*pair.prompt, made.says(answer)]
            for side, answer in (("chosen", pair.chosen), ("rejected", pair.rejected))
        }
        for pair in tiny.pairs(count, seed)
    ]


def run_file(folder: Path, base: Path, **changes: Any) -> Path:
    """A YAML file as a user writes it, with pairs beside it."""
    made.write(folder / "pairs.jsonl", rows(48))
    made.write(folder / "held_out.jsonl", rows(24, seed=1))
    raw = {
        "model": str(base),
        "data": {
            "train": {"mine": {"path": "pairs.jsonl"}},
            "eval": {"held": {"path": "held_out.jsonl"}},
            "calibrate": {"held": {"path": "held_out.jsonl"}},
        },
        "objectives": {
            "plain": None,
            "level": {"residual_of": "plain"},
            "dir": {"dir": {"length": {"hidden": 8}}, "correlation": 0.1},
        },
        "engine": {
            "per_device_train_batch_size": 8, "max_steps": 3, "learning_rate": 0.01, "use_cpu": True,
            "gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no",
        },
        "out": "runs/a",
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(safe_yaml.write(raw | changes))
    return path


def test_train_compare_evaluate_again_and_use_as_a_reward(run: Run, base: Path, tmp_path: Path) -> None:
    done = run("reward-model", str(run_file(tmp_path, base)))
    assert done.returncode == 0, done.stderr
    for part in ("plain", "level", "dir", "held (24)", "chosen is longer", "Spearman", "calibration error"):
        assert part in done.stdout
    out = tmp_path / "runs" / "a"
    found = json.loads((out / "evaluation.json").read_text())
    assert found.keys() == {"plain", "level", "dir"}
    assert (out / "evaluation.png").stat().st_size > 1000
    facts = json.loads((out / "run.json").read_text())
    assert sum(facts["labels"]["length"].values()) == 48
    log = [json.loads(line) for line in (out / "dir" / "metrics.jsonl").read_text().splitlines()]
    assert {"length/information", "length/probe_loss", "correlation/squared", "accuracy"} <= log[0].keys()

    again = run("reward-model", "eval", str(out), "--json", "--out", "again")
    assert json.loads(again.stdout) == found == json.loads(Path("again/evaluation.json").read_text())
    by_path = run("reward-model", "eval", str(out), "--json", "--model", str(out / "dir" / "model"))
    assert json.loads(by_path.stdout)[str(out / "dir" / "model")] == found["dir"]

    pairs = tiny.pairs(24, seed=1)
    slope = json.loads((out / "level" / "residual.json").read_text())
    want = length_slope(score(RewardModel(out / "plain" / "model"), pairs))
    assert slope == {"of": "plain", "reward_per_character": pytest.approx(want)}

    (tmp_path / "policy.yaml").write_text(safe_yaml.write(POLICY))
    (helpful,) = load_config(tmp_path / "policy.yaml").named_rewards()  # as concord train would
    pairs = tiny.pairs(8)
    found = helpful.source.target(prompts=[pair.prompt for pair in pairs], completions=[pair.chosen for pair in pairs])
    assert len({round(value, 6) for value in found}) > 1

    taken = run("reward-model", str(tmp_path / "run.yaml"))
    assert taken.returncode == 2
    assert "is not empty; set another out" in taken.stderr


def test_the_scores_are_those_that_training_saw(run: Run, base: Path, tmp_path: Path) -> None:
    """Evaluated by the reward of concord train, a model gives the accuracy that the trainer's own tokens give."""
    path = run_file(tmp_path, base, objectives={"plain": None})
    assert run("reward-model", str(path), "engine.learning_rate=0.0", "engine.max_steps=1").returncode == 0
    found = json.loads((tmp_path / "runs" / "a" / "evaluation.json").read_text())
    trained = load_file(tmp_path / "runs/a/plain/model/model.safetensors")
    torch.testing.assert_close(trained, load_file(base / "model.safetensors"))
    pairs = tiny.pairs(24, seed=1)
    trainer = tiny.trainer(tmp_path / "t", data=tiny.rows(), options={"eval_dataset": tiny.rows(24, seed=1)})
    assert found["plain"]["held"]["accuracy"]["pairs"] == len(pairs)
    assert found["plain"]["held"]["accuracy"]["share"] == pytest.approx(trainer.evaluate()["eval_accuracy"])


def test_lora_is_merged_into_a_checkpoint_that_stands_alone(
    run: Run, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = run_file(tmp_path, base, objectives={"dir": {"dir": {"format": {}, "length": {"hidden": 4}}}})
    (tmp_path / "chat.jinja").write_text(f"{tiny.TEMPLATE} <eos>")
    lora = "peft={r: 2, target_modules: [q_proj, v_proj]}"
    done = run("reward-model", str(path), lora, "chat_template=chat.jinja", "--json")
    assert done.returncode == 0, done.stderr
    assert "bias 'format': no two labels occur" in caplog.text
    folder = tmp_path / "runs" / "a" / "dir" / "model"
    assert not list(folder.glob("adapter*"))
    assert (folder / "chat_template.jinja").read_text() == f"{tiny.TEMPLATE} <eos>"
    trained, start = load_file(folder / "model.safetensors"), load_file(base / "model.safetensors")
    assert trained.keys() == start.keys()
    assert not torch.equal(trained["score.weight"], start["score.weight"])
    assert json.loads(done.stdout)["evaluations"]["dir"]["held"]["accuracy"]["pairs"] == 24


def test_text_pairs_and_styles_and_no_evaluation(run: Run, base: Path, tmp_path: Path) -> None:
    text = [{"prompt": "a b ", "chosen": p.chosen, "rejected": p.rejected} for p in tiny.pairs(16)]
    made.write(tmp_path / "text.parquet", text)
    styles = [{"prompt": "a", "chosen": ["b", "b c", "b c d"], "rejected": ["n", "n o", "n o p"]}] * 3
    made.write(tmp_path / "styles.json", styles)
    path = run_file(tmp_path, base, objectives={"plain": None}, data={"train": {"text": {"path": "text.parquet"}}})
    assert run("reward-model", "train", str(path)).stdout == "\nruns/a: plain/model/\n"
    done = run("reward-model", "eval", "runs/a", "data.eval.styles.path=styles.json")
    assert done.returncode == 0, done.stderr
    assert "styles: easy" in done.stdout
    assert "styles (27)" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such.yaml"], "no file no_such.yaml"),
        (["run.yaml", "engine.learning_rat=1"], "did you mean 'learning_rate'?"),
        (["run.yaml", "data.train.mine.path=no.jsonl"], "mine: "),
        (["run.yaml", "data.train.mine.form=hh"], "row 0 (form hh)"),
        (["run.yaml", "objectives.dir.dir.lenght={}"], "no bias 'lenght'; did you mean 'length'?"),
        (["run.yaml", "objectives.dir.dir.mine.path=bias.py:broken"], "bias 'mine' raised ZeroDivisionError on pair 0"),
        (["run.yaml", "engine.max_length=1"], "all 48 pairs are longer than 1 tokens"),
        (["eval", "run.yaml"], "no folder or hub name that can be loaded"),
        (["eval", "run.yaml", "data.eval={}"], "data.eval: names no held-out pairs"),
        (["eval", "run.yaml", "--model", "nowhere"], "no folder or hub name that can be loaded"),
    ],
)
def test_mistakes_are_named_without_a_traceback(
    run: Run, base: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    run_file(tmp_path, base)
    (tmp_path / "bias.py").write_text("def broken(prompt, chosen, rejected):\n    return 1 // 0\n")
    done = run("reward-model", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_messages_need_a_chat_template(run: Run, base: Path, tmp_path: Path) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(base, bare)
    (bare / "chat_template.jinja").unlink()
    path = run_file(tmp_path, bare, objectives={"plain": None})
    done = run("reward-model", str(path))
    assert done.returncode == 2
    assert "the model's tokenizer has no chat template; give one as chat_template" in done.stderr


def test_help_names_both_commands(run: Run) -> None:
    text = run("reward-model", "--help").stdout
    assert "train" in text
    assert "eval" in text


@pytest.mark.parametrize("words", [[], ["engine.per_device_eval_batch_size=3"]])
def test_a_model_is_evaluated_in_batches_of_the_engines_size(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(train, "RewardModel", lambda source, batch_size: sizes.append(batch_size))
    monkeypatch.setattr(train, "evaluate", lambda *args, **options: {})
    train.evaluate_run(load_reward_model("hh", words), {}, console=Console(quiet=True))
    assert sizes == [3 if words else REWARD_MODEL.default("per_device_eval_batch_size")]
