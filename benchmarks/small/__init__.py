"""A small policy and a made-up task for the benchmarks of training: no download, no real meaning."""

from __future__ import annotations

import platform
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 256
WORDS = ["<pad>", "<eos>", *(f"w{i}" for i in range(VOCABULARY - 2))]


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", padding_side="left")


def policy(width: int, layers: int, seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
            eos_token_id=1, pad_token_id=0, bos_token_id=None,
        )
    )  # fmt: skip


def prompts(count: int, shortest: int, longest: int) -> Dataset:
    texts = [
        " ".join(WORDS[2 + (7 * i + 13 * j) % (VOCABULARY - 2)] for j in range(shortest + i % (longest - shortest + 1)))
        for i in range(count)
    ]
    return Dataset.from_dict({"prompt": texts})


def common(folder: str) -> dict[str, Any]:
    """Options that keep everything but training out of the way."""
    return {
        "output_dir": folder, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": [],
        "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False, "seed": 0,
    }  # fmt: skip


def machine() -> str:
    return f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread"
