"""Synthetic preferences: a known quality, and something else that annotators fall for.

An answer is six words that tell its quality, good or bad ones, among filler words, on one line or as a list. Its
quality is the number of good words. An annotator prefers an answer by its quality and by a confound:

    P(a over b) = sigmoid(QUALITY * (quality_a - quality_b) + strength * (confound_a - confound_b))

In training the confound sways the verdict; in the test the better answer is the one of higher quality, and the
confound is whatever it is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from concord.reward_models.pairs import Pair

GOOD, BAD = ([f"{kind}{i}" for i in range(8)] for kind in ("good", "bad"))
FILLER = [f"w{i}" for i in range(16)]
WORDS = ["<pad>", "<end>", "-", *GOOD, *BAD, *FILLER]
CONTENT, SHORTEST, LONGEST = 6, 6, 36
QUALITY = 1.5


@dataclass(frozen=True)
class Answer:
    """What is known about an answer beside its words."""

    text: str
    quality: int
    words: int
    listed: bool


Confound = Callable[[Answer], float]

CONFOUNDS: dict[str, tuple[Confound, float]] = {
    "linear": (lambda a: (a.words - SHORTEST) / (LONGEST - SHORTEST), 8.0),
    "threshold": (lambda a: float(a.words > 26), 5.0),
    "medium": (lambda a: math.exp(-(((a.words - 21) / 5) ** 2)), 6.0),
    "list": (lambda a: float(a.listed), 5.0),
}
"""By name, what annotators fall for, and how far: the longer the better; being longer than 26 words; being of medium
length; being a list."""


def answer(rng: random.Random) -> Answer:
    words = rng.randint(SHORTEST, LONGEST)
    content = [rng.choice(GOOD if rng.random() < 0.5 else BAD) for _ in range(CONTENT)]
    every = content + rng.choices(FILLER, k=words - CONTENT)
    rng.shuffle(every)
    listed = rng.random() < 0.5
    lines = [" ".join(every[start : start + 6]) for start in range(0, words, 6)]
    text = "\n".join(f"- {line}" for line in lines) if listed else " ".join(every)
    return Answer(text, sum(word in GOOD for word in content), words, listed)


def training_pairs(confound: str, count: int, seed: int) -> list[Pair]:
    """Pairs as the annotator who falls for the confound decides them; for "none" there is none."""
    rng = random.Random(f"train {seed}")
    sways, strength = CONFOUNDS.get(confound, (lambda _: 0.0, 0.0))
    pairs = []
    for _ in range(count):
        a, b = answer(rng), answer(rng)
        logit = QUALITY * (a.quality - b.quality) + strength * (sways(a) - sways(b))
        first, second = (a, b) if rng.random() < 1 / (1 + math.exp(-logit)) else (b, a)
        pairs.append(Pair("", first.text, second.text))
    return pairs


def test_pairs(confound: str, count: int, seed: int) -> tuple[list[Pair], list[float]]:
    """Pairs as quality decides them, and how far the confound speaks for the better answer."""
    rng = random.Random(f"test {seed}")
    sways, _ = CONFOUNDS[confound]
    pairs, speaks = [], []
    while len(pairs) < count:
        a, b = answer(rng), answer(rng)
        if a.quality != b.quality:
            better, worse = (a, b) if a.quality > b.quality else (b, a)
            pairs.append(Pair("", better.text, worse.text))
            speaks.append(sways(better) - sways(worse))
    return pairs, speaks


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<end>", model_max_length=64,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def model() -> BertForSequenceClassification:
    """An encoder of one layer of width 32, from scratch."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
            max_position_embeddings=64, initializer_range=32**-0.5, pad_token_id=0, eos_token_id=1, num_labels=1,
        )
    )  # fmt: skip
