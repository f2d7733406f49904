"""Make the base model of the built-in task: tokenizer, supervised training, and the folder that ships.

    OMP_NUM_THREADS=1 python scripts/train_base_model.py --seed 0 --out src/concord/recipes/base_model/seed0

The model first learns the task from clean demonstrations, and then to do it badly from noisy ones: with noise from
the start it would not learn to copy values at all. What is left is a policy that can do most of the task, does it
a third of the time, and is more often right when it thinks longer: room for training with several rewards.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from concord.recipes.tool_task import conciseness, correctness, exact, rows
from concord.recipes.tool_task import format as well_formed
from concord.recipes.tool_task.demonstrations import clean, noisy
from concord.recipes.tool_task.requests import Request, sample_request

Demonstrate = Callable[[Request, random.Random], str]
Batch = tuple[Tensor, Tensor]

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

BATCH, POOL = 16, 16  # sequences in a batch, batches drawn together
CLEAN_STEPS, CLEAN_RATE = 1400, 6e-3
NOISY_STEPS, NOISY_RATE = 500, 2e-3
WARM_UP = 50
IGNORED = -100  # the label that the loss leaves out


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every word, name and number of the task is one token."""
    rng = random.Random("tokenizer")
    requests = [sample_request(rng, "train") for _ in range(20_000)]
    texts = [request.prompt for request in requests] + [clean(request, rng) for request in requests]
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
    between_tags = "|".join(map(re.escape, TAGS))
    bpe.train_from_iterator((part for text in texts for part in re.split(between_tags, text)), trainer)
    bpe.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])  # not special: decoding shows them
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Qwen2's architecture in its later form, Qwen3: AutoTokenizer puts its own rules for text before a Qwen2 model."""
    width = 64
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=160,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=16,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            initializer_range=width**-0.5,  # with the usual 0.02 copying hardly forms in so small a model
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def batches(tokenizer: PreTrainedTokenizerFast, demonstrate: Demonstrate, rng: random.Random) -> Iterator[Batch]:
    """Token ids and labels [BATCH, T], endlessly; sequences of like length share a batch, to save padding."""
    while True:
        requests = [sample_request(rng, "train") for _ in range(BATCH * POOL)]
        answers = tokenizer([demonstrate(request, rng) + END for request in requests])["input_ids"]
        pairs = [(prompt_ids(tokenizer, r.prompt), ids) for r, ids in zip(requests, answers, strict=True)]
        pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        starts = list(range(0, len(pairs), BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield pad(pairs[start : start + BATCH], tokenizer.pad_token_id)


def prompt_ids(tokenizer: PreTrainedTokenizerFast, content: str) -> list[int]:
    messages = [{"role": "user", "content": content}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


def pad(pairs: list[tuple[list[int], list[int]]], pad_id: int) -> Batch:
    """Pad on the right; only the answer is learnt."""
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids, labels = [], []
    for prompt, answer in pairs:
        rest = longest - len(prompt) - len(answer)
        ids.append(prompt + answer + [pad_id] * rest)
        labels.append([IGNORED] * len(prompt) + answer + [IGNORED] * rest)
    return torch.tensor(ids), torch.tensor(labels)


def train(model: Qwen3ForCausalLM, data: Iterator[Batch], steps: int, peak_rate: float, name: str) -> None:
    """AdamW with a short warm-up and a cosine to zero. Padding is on the right, so it needs no attention mask."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    recent: list[float] = []
    for step in range(1, steps + 1):
        ids, labels = next(data)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 100 == 0:
            print(f"{name}: step {step} of {steps}, loss {sum(recent) / len(recent):.3f}", flush=True)
            recent.clear()


@torch.no_grad()
def score(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int, sample: bool) -> str:
    """Mean rewards on held-out requests, in one line."""
    model.eval()
    held_out = rows("test", count)
    prompts = [tokenizer.apply_chat_template(r["prompt"], tokenize=False, add_generation_prompt=True) for r in held_out]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0} if sample else {"do_sample": False}
    tokens = model.generate(**inputs, max_new_tokens=80, **sampling)
    texts = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    answers = [row["answer"] for row in held_out]
    scores = {
        "exact calls": exact(texts, answers),
        "correctness": correctness(texts, answers),
        "format": well_formed(texts, answers),
        "conciseness": conciseness(texts),
    }
    return ", ".join(f"{name} {sum(values) / count:.2f}" for name, values in scores.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the base model of the built-in task.")
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
    print(f"after clean demonstrations, held out, greedy: {score(model, tokenizer, 256, sample=False)}")
    train(model, batches(tokenizer, noisy, rng), NOISY_STEPS, NOISY_RATE, "noisy")
    print(f"base model, held out, greedy:  {score(model, tokenizer, 256, sample=False)}")
    print(f"base model, held out, sampled: {score(model, tokenizer, 256, sample=True)}")

    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    size = sum(file.stat().st_size for file in arguments.out.iterdir())
    print(f"wrote {arguments.out}, {size / 1000:.0f} kB, after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
