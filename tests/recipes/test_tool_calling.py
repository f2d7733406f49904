"""The ToolRL recipes on ToolRL's data (the real file where it is at hand): read, template, score, update."""

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
from concord.run.train import train
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


@pytest.mark.parametrize(("recipe", "kinds"), [("tool_calling", 3), ("tool_calling_two_rewards", 2)])
def test_two_steps_on_toolrls_rows(tmp_path: Path, recipe: str, kinds: int) -> None:
    file = toolrl_file(tmp_path)
    rows = pd.read_parquet(file)
    model = talking_model(tmp_path / "model", [m["content"] for prompt in rows["prompt"] for m in prompt])
    sizes = {
        "generation_batch_size": 8,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "max_completion_length": 12,
        "max_steps": 2,
        "use_cpu": "true",
        "learning_rate": 0.01,
        "weight_decay": 0,  # so that what moves a parameter is the gradient
    }
    words = [f"engine.{key}={value}" for key, value in sizes.items()]
    words += [f"model={model}", f"data.path={file}", "data.eval=null", f"out={tmp_path / 'run'}"]
    # An untrained model scores the minimum of every reward; one more reward gives the update something to do.
    (tmp_path / "more.py").write_text(
        "def letters(completions, **_):\n    return [len(c[0]['content']) for c in completions]"
    )
    words.append(f"rewards.letters.path={tmp_path / 'more.py'}:letters")
    config = load_config(recipe, words)
    assert config.method.name == "gd2po"
    assert config.method.parameters["tau"] == 0.8
    assert len(config.rewards) == kinds + 1

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
