"""The ToolRL recipes on ToolRL's and API-Bank's data (the real files where they are at hand).

Read, template, score, update with each of the paper's methods, evaluate.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from concord.rewards import toolrl
from concord.run.config import load_config
from concord.run.evaluations import evaluate_sets, load_policy
from concord.run.train import train
from tests.data.api_bank import api_bank_file
from tests.data.toolrl import toolrl_file
from tests.engines import tiny

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def talking_model(folder: Path, texts: list[str]) -> Path:
    """A tiny model whose tokenizer knows these texts, with a chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=800, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>", padding_side="left", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    tiny.model(vocab_size=len(tokenizer), max_position_embeddings=4096).save_pretrained(folder)
    return folder


SMALL = {
    "generation_batch_size": 8,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_completion_length": 12,
    "max_steps": 2,
    "use_cpu": "true",
    "learning_rate": 0.01,
    "weight_decay": 0,  # so that what moves a parameter is the gradient
}
"""Options of TRL's with which a recipe makes two updates of four rollouts."""


@pytest.fixture(scope="module")
def rows_and_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of ToolRL's rows, and a model that can read them."""
    folder = tmp_path_factory.mktemp("toolrl")
    file = toolrl_file(folder)
    texts = [m["content"] for prompt in pd.read_parquet(file)["prompt"][:16] for m in prompt]
    return file, talking_model(folder / "model", texts)


@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ("tool_calling", None),
        ("tool_calling", "grpo"),
        ("tool_calling", "gdpo"),
        ("tool_calling", "gd2po_hard"),
        ("tool_calling_two_rewards", None),
        ("tool_calling_two_rewards", "gdpo"),
    ],
)
def test_two_steps_on_toolrls_rows_and_api_bank(
    tmp_path: Path, rows_and_model: tuple[Path, Path], recipe: str, method: str | None
) -> None:
    file, model = rows_and_model
    rows = pd.read_parquet(file)
    words = [f"engine.{key}={value}" for key, value in SMALL.items()] + ([f"method={method}"] if method else [])
    words += [f"model={model}", f"data.path={file}", "data.eval=null", "data.size=4", f"out={tmp_path / 'run'}"]
    for level in (1, 2, 3):
        level_words = {"path": api_bank_file(level, tmp_path), "size": level + 1}
        words += [f"evaluations.api_bank.sets.level_{level}.{key}={value}" for key, value in level_words.items()]
    words.append("evaluations.api_bank.max_completion_length=8")
    # An untrained model scores the minimum of every reward; one more reward gives the update something to do.
    (tmp_path / "more.py").write_text(
        "def letters(completions, **_):\n    return [len(c[0]['content']) for c in completions]"
    )
    words.append(f"rewards.letters.path={tmp_path / 'more.py'}:letters")
    config = load_config(recipe, words)
    if method is None:
        assert (config.method.name, config.method.parameters["tau"]) == ("gd2po", 0.8)
    assert len(config.rewards) == (3 if recipe == "tool_calling" else 2) + 1

    done = train(config, console=Console(quiet=True))

    rollouts = pd.concat(pd.read_parquet(path) for path in sorted((done.folder / "rollouts").glob("*.parquet")))
    assert len(rollouts) == 8  # one generation batch feeds both steps: two mini-batches of four, as in the paper
    assert rollouts["group"].nunique() == 2
    assert all(prompt.startswith("[system]\n") for prompt in rollouts["prompt"])
    truths = {row["prompt"][-1]["content"]: row["reward_model"]["ground_truth"] for _, row in rows.iterrows()}
    for _, rollout in rollouts.iterrows():
        truth = next(truth for request, truth in truths.items() if rollout["prompt"].endswith(request))
        assert rollout["reward/correctness"] == pytest.approx(toolrl.correctness_reward(rollout["completion"], truth))
    before = dict(AutoModelForCausalLM.from_pretrained(model).named_parameters())
    after = dict(AutoModelForCausalLM.from_pretrained(done.folder / "model").named_parameters())
    assert (rollouts["advantage"] != 0).any()
    assert any(not torch.equal(after[name], before[name]) for name in before)

    (evaluation,) = config.evaluations.values()
    found = evaluate_sets(config, evaluation, load_policy(str(done.folder / "model"), on_cpu=True))
    assert {label: part.rows for label, part in found.items()} == {
        "level_1": 2, "level_2": 3, "level_3": 4, "overall": 9,
    }  # fmt: skip
    assert found["overall"].rewards == {"correct": 0.0, "format": 0.0, "length": 0.0}  # it has learnt nothing yet
    assert found["overall"].length <= 8
