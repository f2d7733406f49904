"""How a policy does on held-out prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import track

from concord.rewards import RewardBatch, RewardSet

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes:
        rewards: mean score by reward, over the responses that it scored; NaN if it scored none.
        unscored: responses without a score, by reward.
        rows: prompts.
        length: mean response tokens, the end included.
        unfinished: share of responses that reached the token limit without an end.
    """

    rewards: dict[str, float]
    unscored: dict[str, int]
    rows: int
    length: float
    unfinished: float


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    rewards: RewardSet,
    *,
    max_new_tokens: int | None,
    batch_size: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    console: Console | None = None,
    title: str = "Evaluating",
) -> Evaluation:
    """Answer every prompt once and score the answers.

    Args:
        model, tokenizer: the policy.
        rows: with column ``prompt``, text or messages; all columns go to the rewards.
        rewards: as in training, gates included; weights play no part.
        max_new_tokens: where a response is cut; None = where the model's own settings say, as TRL takes it.
        batch_size: prompts at a time.
        temperature: 0 = greedy.
        seed: of the sampling, if there is any.
        console: where the progress bar is drawn; None = nowhere.
        title: of the progress bar.

    Raises:
        RewardError: a reward failed more often than it may.
    """
    scores: dict[str, list[float | None]] = {name: [] for name in rewards.names}
    lengths: list[int] = []
    unfinished = 0
    was_training = model.training
    model.eval()
    starts = range(0, len(rows), batch_size)
    # Whatever is drawn here, what comes after draws as if this had not been.
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for start in track(starts, title, console=console, transient=True, disable=console is None):
            batch = rows[start : start + batch_size]
            ids, ended = _generate(model, tokenizer, batch["prompt"], max_new_tokens, temperature)
            lengths += [len(tokens) for tokens in ids]
            unfinished += ended.count(False)
            for name, column in _score(rewards, batch, ids, tokenizer).items():
                scores[name] += column
    model.train(was_training)
    return Evaluation(
        rewards={name: _mean(column) for name, column in scores.items()},
        unscored={name: column.count(None) for name, column in scores.items()},
        rows=len(rows),
        length=sum(lengths) / len(lengths),
        unfinished=unfinished / len(lengths),
    )


def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[Any],
    max_new_tokens: int | None,
    temperature: float,
) -> tuple[list[list[int]], list[bool]]:
    """Response tokens up to the end token, and whether there was one."""
    texts = [
        prompt
        if isinstance(prompt, str)
        else tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        for prompt in prompts
    ]
    side, tokenizer.padding_side = tokenizer.padding_side, "left"
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=isinstance(prompts[0], str))
    tokenizer.padding_side = side
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    with torch.no_grad():
        output = model.generate(
            input_ids=inputs["input_ids"].to(model.device),
            attention_mask=inputs["attention_mask"].to(model.device),
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **sampling,
        )
    responses = output[:, inputs["input_ids"].shape[1] :].tolist()
    ended = [tokenizer.eos_token_id in tokens for tokens in responses]
    cut = [
        tokens[: tokens.index(tokenizer.eos_token_id) + 1] if end else tokens
        for tokens, end in zip(responses, ended, strict=True)
    ]
    return cut, ended


def _score(
    rewards: RewardSet, batch: dict[str, list[Any]], ids: list[list[int]], tokenizer: PreTrainedTokenizerBase
) -> dict[str, list[float | None]]:
    """The rewards as in training: responses in the prompts' own form, gates applied."""
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    talks = not isinstance(batch["prompt"][0], str)
    completions = [[{"role": "assistant", "content": text}] for text in texts] if talks else texts
    columns = {name: values for name, values in batch.items() if name != "prompt"}
    return rewards.counted(RewardBatch(batch["prompt"], completions, ids, columns))


def _mean(column: list[float | None]) -> float:
    there = [score for score in column if score is not None]
    return sum(there) / len(there) if there else float("nan")
