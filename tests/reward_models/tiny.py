"""Sequence classifiers of a few thousand parameters, their tokenizer, and pairs, made on the fly.

Also imported by the worker processes of the test that needs several.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForSequenceClassification,
)
from trl import RewardConfig

from concord.reward_models.objective import Objective
from concord.reward_models.pairs import Pair
from concord.reward_models.rows import tokenised
from concord.reward_models.trainer import RewardModelTrainer

LETTERS = [*"abcdefghijklmnop"]
WORDS = ["<pad>", "<eos>", "<user>", "<assistant>", *LETTERS]
TEMPLATE = "{% for message in messages %}<{{ message.role }}> {{ message.content }} <eos> {% endfor %}"


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """One token a letter; unknown words are padding."""
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="p"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", clean_up_tokenization_spaces=False,
        chat_template=template, model_max_length=64,
    )  # fmt: skip


def decoder(seed: int = 0) -> Qwen3ForSequenceClassification:
    """Two layers of width 16, in float32."""
    torch.manual_seed(seed)
    return Qwen3ForSequenceClassification(
        Qwen3Config(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, max_position_embeddings=64, initializer_range=0.2, eos_token_id=1,
            pad_token_id=0, bos_token_id=None, num_labels=1,
        )
    )  # fmt: skip


def encoder(seed: int = 0) -> BertForSequenceClassification:
    """Two layers of width 16 with a pooler."""
    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64, initializer_range=0.2, pad_token_id=0, num_labels=1,
        )
    )  # fmt: skip


def saved(folder: Path, model: PreTrainedModel | None = None) -> Path:
    """Model and tokenizer on disk."""
    (model or decoder()).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def pairs(count: int = 32, seed: int = 0, longer: float = 0.75) -> list[Pair]:
    """The chosen answer has more of the letters a to h; it is the longer one in a share of pairs."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        sizes = sorted(rng.sample(range(2, 10), 2), reverse=rng.random() < longer)
        good, bad = ((" ".join(rng.choices(LETTERS[:12], k=sizes[0]))), " ".join(rng.choices(LETTERS[6:], k=sizes[1])))
        made.append(Pair([{"role": "user", "content": LETTERS[index % 16]}], good, bad))
    return made


def rows(count: int = 32, seed: int = 0, **labels: list[int]) -> Dataset:
    """Tokenised pairs; without other labels, those of length."""
    made = pairs(count, seed)
    return tokenised(made, tokenizer(), labels or {"length": [int(pair.longer > 0) for pair in made]})


def trainer(folder: Path | str, objective: Objective | None = None, **changes: Any) -> RewardModelTrainer:
    """Eight pairs an update, plain SGD so that gradients show in the parameters."""
    model = changes.pop("model", None)
    data = changes.pop("data", None)
    options = changes.pop("options", {})
    config = RewardConfig(
        **{
            "output_dir": str(folder), "per_device_train_batch_size": 8, "learning_rate": 0.1, "optim": "sgd",
            "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "max_steps": 2, "logging_steps": 1,
            "save_strategy": "no", "report_to": [], "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
            "disable_tqdm": True, "dataloader_pin_memory": False, "seed": 3,
        }
        | changes
    )  # fmt: skip
    return RewardModelTrainer(
        model=decoder() if model is None else model,
        args=config,
        train_dataset=rows() if data is None else data,
        processing_class=tokenizer(),
        objective=objective,
        **options,
    )
