"""Make the base model of the built-in task: tokenizer, supervised training, and the folder that ships.

    OMP_NUM_THREADS=1 python scripts/train_base_model.py --seed 0 --out src/concord/recipes/base_model/seed0

The model first learns the task from clean demonstrations and then unlearns half of it from noisy ones: noise from
the start would keep it from learning to copy values at all. What is left is a policy that can do the task, does it
a quarter of the time, and is more often right when it thinks longer: room for training with several rewards.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from concord.recipes.tool_task import conciseness, correctness, exact, rows
from concord.recipes.tool_task import format as form
from concord.recipes.tool_task.demonstrations import clean, noisy
from concord.recipes.tool_task.requests import Request, sample_request

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# A lower-case word takes the spaces around it along, so that a name or number is the same token in a request and in
# a call, and stands right after the word that tells its part ("from ", "to ").
PIECES = Regex(r" ?[a-z]+ ?|[A-Z][a-z]*|[0-9]+|[^A-Za-z0-9]+")

BATCH = 64
CLEAN_STEPS, NOISY_STEPS = 900, 300
PEAK_RATE, NOISY_RATE = 4e-3, 1e-3
MAX_NEW_TOKENS = 80

Demonstrate = Callable[[Request, random.Random], str]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every word, name and number of the task is one token."""
    rng = random.Random("tokenizer")
    requests = [sample_request(rng, "train") for _ in range(20_000)]
    corpus = [request.prompt for request in requests] + [noisy(request, rng) for request in requests]
    bpe = Tokenizer(models.BPE())
    bpe.add_special_tokens([PAD, END, *ROLES])
    bpe.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,  # never reached: training ends when every piece of the corpus is one token
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    for tag in TAGS:
        corpus = [text.replace(tag, "\0") for text in corpus]
    bpe.train_from_iterator((piece for text in corpus for piece in text.split("\0")), trainer)
    bpe.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
