"""Make the base model of the arithmetic task: tokenizer, supervised training, and the folder that ships.

    OMP_NUM_THREADS=1 python scripts/train_arithmetic_base.py --seed 0 \\
        --out src/concord/recipes/arithmetic_task/base_model/seed0

As ``train_base_model.py`` does it for the tool task: first clean demonstrations, from which the model learns to add,
then noisy ones, from which it learns to guess, to forget, and to be right by luck. One demonstration in ten is a
longer sum, so that the split "hard" is not beyond it altogether.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from train_base_model import BATCH, CHAT_TEMPLATE, END, PAD, POOL, ROLES, Batch, make_model, pad, prompt_ids, train
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from concord.recipes.arithmetic_task import correct, rows, sound
from concord.recipes.arithmetic_task import format as well_formed
from concord.recipes.arithmetic_task.demonstrations import clean, noisy
from concord.recipes.arithmetic_task.problems import LONG, SHORT, Problem, sample_problem

Demonstrate = Callable[[Problem, random.Random], str]

PIECES = Regex(r"[0-9]+|[^0-9]+")
CLEAN_STEPS, CLEAN_RATE = 1800, 6e-3
NOISY_STEPS, NOISY_RATE = 500, 2e-3
LONGER = 0.1
"""Share of the demonstrations that are longer sums; none of them is one of the split "hard"."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every number below 100 is one token, and so is what stands between two numbers."""
    rng = random.Random("tokenizer")
    problems = [sample_problem(rng, SHORT, held_out=False) for _ in range(5_000)]
    texts = [text for problem in problems for text in (problem.prompt, clean(problem, rng))]
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
    bpe.train_from_iterator([*texts, *map(str, range(100))], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def draw(rng: random.Random) -> Problem:
    """A sum to demonstrate: mostly of the training split, now and then a longer one."""
    return sample_problem(rng, LONG if rng.random() < LONGER else SHORT, held_out=False)


def batches(tokenizer: PreTrainedTokenizerFast, demonstrate: Demonstrate, rng: random.Random) -> Iterator[Batch]:
    """Token ids and labels [BATCH, T], endlessly; sequences of like length share a batch, to save padding."""
    while True:
        problems = [draw(rng) for _ in range(BATCH * POOL)]
        answers = tokenizer([demonstrate(problem, rng) + END for problem in problems])["input_ids"]
        pairs = [(prompt_ids(tokenizer, p.prompt), ids) for p, ids in zip(problems, answers, strict=True)]
        pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        starts = list(range(0, len(pairs), BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield pad(pairs[start : start + BATCH], tokenizer.pad_token_id)


@torch.no_grad()
def score(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, split: str, count: int, sample: bool) -> str:
    """Mean rewards on held-out sums, in one line."""
    model.eval()
    held_out = rows(split, count)
    prompts = [tokenizer.apply_chat_template(r["prompt"], tokenize=False, add_generation_prompt=True) for r in held_out]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0} if sample else {"do_sample": False}
    tokens = model.generate(**inputs, max_new_tokens=48, **sampling)
    texts = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    answers = [row["answer"] for row in held_out]
    scores = {"correct": correct(texts, answers), "sound": sound(texts, answers), "format": well_formed(texts)}
    return f"{split}: " + ", ".join(f"{name} {sum(values) / count:.2f}" for name, values in scores.items())


def report(stage: str, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    for sample in (False, True):
        scores = "; ".join(score(model, tokenizer, split, 256, sample) for split in ("test", "hard"))
        print(f"{stage}, {'sampled' if sample else 'greedy'}: {scores}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the base model of the arithmetic task.")
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
    report("after clean demonstrations", model, tokenizer)
    train(model, batches(tokenizer, noisy, rng), NOISY_STEPS, NOISY_RATE, "noisy")
    report("base model", model, tokenizer)

    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    size = sum(file.stat().st_size for file in arguments.out.iterdir())
    print(f"wrote {arguments.out}, {size / 1000:.0f} kB, after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
