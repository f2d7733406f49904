"""A model of a few thousand parameters, its tokenizer, prompts and rewards, made on the fly.

Also imported by the worker processes of the tests that need several, or that are killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from concord.engines.trl import ConcordConfig, ConcordTrainer

WORDS = ["<pad>", "<eos>", *"abcdefghijklmnop"]


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a letter; ``<eos>`` is likely enough that responses differ in length."""
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def model(seed: int = 0, **changes: Any) -> Qwen2ForCausalLM:
    """Two layers of width 16, in float32."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.2,
        "tie_word_embeddings": True, "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None,
    }  # fmt: skip
    return Qwen2ForCausalLM(Qwen2Config(**shape | changes))


def saved_model(folder: Path) -> Qwen2ForCausalLM:
    """The same, through the disk: TRL loads the reference model by its path."""
    if not folder.exists():
        model().save_pretrained(folder)
    return Qwen2ForCausalLM.from_pretrained(folder)


def prompts(count: int = 16) -> Dataset:
    """Prompts of one to five letters."""
    letters = WORDS[2:]
    texts = [" ".join(letters[(7 * i + 3 * j) % len(letters)] for j in range(1 + i % 5)) for i in range(count)]
    return Dataset.from_dict({"prompt": texts, "answer": [letters[i % len(letters)] for i in range(count)]})


def early(completions: list[str], **_: Any) -> list[float]:
    """Share of letters from the first half of the alphabet."""
    return [sum(c in "abcdefgh" for c in text.split()) / max(1, len(text.split())) for text in completions]


def brief(completions: list[str], **_: Any) -> list[float]:
    """Shorter is better."""
    return [1.0 - len(text.split()) / 8 for text in completions]


def varied(completions: list[str], **_: Any) -> list[float]:
    """Share of letters that differ."""
    return [len(set(text.split())) / max(1, len(text.split())) for text in completions]


def first_letter(completions: list[str], **_: Any) -> list[float]:
    """Varies in some groups only."""
    return [float("a" in text) for text in completions]


def last_letter(completions: list[str], **_: Any) -> list[str]:
    """What a rollout answered, as a column."""
    return [text[-1:] for text in completions]


REWARDS = [early, brief, varied]


def config(folder: Path | str, **changes: Any) -> ConcordConfig:
    """Four prompts of four rollouts a step, plain SGD so that gradients show in the parameters."""
    return ConcordConfig(
        **{
            "output_dir": str(folder), "per_device_train_batch_size": 16, "num_generations": 4,
            "max_completion_length": 8, "learning_rate": 0.05, "optim": "sgd", "lr_scheduler_type": "constant",
            "max_grad_norm": 0.0, "max_steps": 2, "logging_steps": 1, "save_strategy": "no", "report_to": [],
            "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True, "dataloader_pin_memory": False,
            "method": "gd2po", "seed": 3,
        }
        | changes
    )  # fmt: skip


def trainer(folder: Path | str, cls: type[ConcordTrainer] = ConcordTrainer, **changes: Any) -> ConcordTrainer:
    """A trainer on all of the above; ``model``, ``rewards``, ``data`` and ``options`` replace theirs."""
    policy = changes.pop("model", None)
    rewards = changes.pop("rewards", REWARDS)
    data = changes.pop("data", None)
    options = changes.pop("options", {})
    return cls(
        model=model() if policy is None else policy,
        reward_funcs=rewards,
        args=config(folder, **changes),
        train_dataset=prompts() if data is None else data,
        **{"processing_class": tokenizer()} | options,
    )
