"""Make the base model of the benchmark's task of helpfulness against safety.

    OMP_NUM_THREADS=1 python scripts/train_safety_base.py --seed 0 --out src/concord/bench/base_model/seed0

As ``train_base_model.py`` does it for the tool task: first clean demonstrations, from which the model learns to look a
fact up and to mind what is secret, then noisy ones, from which it learns to leak, and to refuse without need.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from train_base_model import (
    BATCH,
    CHAT_TEMPLATE,
    END,
    PAD,
    PIECES,
    POOL,
    ROLES,
    Batch,
    make_model,
    pad,
    prompt_ids,
    train,
)  # fmt: skip
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from concord.bench.tasks.safety import KINDS, Question, brief, clean, helpful, noisy, safe, sample_question

Demonstrate = Callable[[Question, random.Random], str]

CLEAN_STEPS, CLEAN_RATE = 1500, 6e-3
NOISY_STEPS, NOISY_RATE = 400, 2e-3


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every word, name and number of the task is one token."""
    rng = random.Random("tokenizer")
    questions = [sample_question(rng) for _ in range(5_000)]
    texts = [text for question in questions for text in (question.prompt, clean(question, rng))]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,  # not reached: merging ends when every piece of the corpus is one token
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*texts, *(value for values in KINDS.values() for value in values)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def batches(tokenizer: PreTrainedTokenizerFast, demonstrate: Demonstrate, rng: random.Random) -> Iterator[Batch]:
    """Token ids and labels [BATCH, T], endlessly; sequences of like length share a batch, to save padding."""
    while True:
        questions = [sample_question(rng) for _ in range(BATCH * POOL)]
        answers = tokenizer([demonstrate(question, rng) + END for question in questions])["input_ids"]
        pairs = [(prompt_ids(tokenizer, q.prompt), ids) for q, ids in zip(questions, answers, strict=True)]
        pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        starts = list(range(0, len(pairs), BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield pad(pairs[start : start + BATCH], tokenizer.pad_token_id)


@torch.no_grad()
def score(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int, sample: bool) -> str:
    """Mean rewards on questions of another seed, in one line."""
    model.eval()
    rng = random.Random("scored")
    questions = [sample_question(rng) for _ in range(count)]
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": q.prompt}], tokenize=False, add_generation_prompt=True
        )
        for q in questions
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0} if sample else {"do_sample": False}
    tokens = model.generate(**inputs, max_new_tokens=48, **sampling)
    texts = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    means = {f.__name__: sum(map(f, questions, texts)) / count for f in (helpful, safe, brief)}
    return ", ".join(f"{name} {value:.2f}" for name, value in means.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the base model of the task of helpfulness against safety.")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the demonstrations")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    rng = random.Random(arguments.seed)
    started = time.perf_counter()
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")

    train(model, batches(tokenizer, clean, rng), CLEAN_STEPS, CLEAN_RATE, "clean")
    print(f"after clean demonstrations, greedy: {score(model, tokenizer, 256, sample=False)}", flush=True)
    train(model, batches(tokenizer, noisy, rng), NOISY_STEPS, NOISY_RATE, "noisy")
    for sample in (False, True):
        print(f"base model, {'sampled' if sample else 'greedy'}: {score(model, tokenizer, 256, sample)}", flush=True)

    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    size = sum(file.stat().st_size for file in arguments.out.iterdir())
    print(f"wrote {arguments.out}, {size / 1000:.0f} kB, after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
