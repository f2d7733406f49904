"""The evaluations that a configuration names: several sets of rows, greedy, each for itself and all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from concord.core.errors import ConfigError, nearest
from concord.engines.defaults import GRPO
from concord.engines.pretrained import load_model, load_tokenizer
from concord.rewards import RewardSet
from concord.run.config import OVERALL, EvaluationConfig, RunConfig
from concord.run.data import load_rows
from concord.run.evaluate import Evaluation, evaluate
from concord.run.paths import model_source
from concord.run.rewards import build_rewards

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Found = dict[str, Evaluation]
"""What an evaluation found, by set, and over the rows of all of them under "overall"."""

Policy = tuple["PreTrainedModel", "PreTrainedTokenizerBase"]


def chosen(config: RunConfig, names: Sequence[str] | None) -> dict[str, EvaluationConfig]:
    """The evaluations of a run of these names, ``data.eval`` as "held_out"; None = all.

    Raises:
        ConfigError: there are none, or none of that name.
    """
    known = config.all_evaluations()
    if not known:
        raise ConfigError("data.eval: names no held-out rows; add it, or give data.eval.split=... here")
    for name in names or ():
        if name not in known:
            raise ConfigError(f"no evaluation {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    return {name: known[name] for name in names or known}


def check_evaluation(config: RunConfig, name: str, evaluation: EvaluationConfig) -> None:
    """Read the rows and import the rewards, so that what is wrong with them shows before anything is trained.

    Raises:
        ConfigError: naming the evaluation and the set.
    """
    for label, rows in evaluation.sets.items():
        try:
            load_rows(rows.model_copy(update={"max_prompt_tokens": None}), None, config.seed)
        except ConfigError as error:
            raise ConfigError(f"evaluation {name!r}, set {label!r}: {error}") from error
    build_rewards(evaluation.rewards or {})


def completion_limit(config: RunConfig, evaluation: EvaluationConfig) -> int | None:
    """Return where an evaluation cuts a response: where it says itself, else where training does.

    None, which a run has to ask for (``engine.max_completion_length: null``), leaves it to the model's own settings.

    Raises:
        MissingExtra: TRL's default is needed, and TRL is not installed.
    """
    if evaluation.max_completion_length is not None:
        return evaluation.max_completion_length
    limit: int | None = GRPO.read(config.engine, "max_completion_length")
    return limit


def load_policy(model: str, *, on_cpu: bool = False, allow_missing: bool = False) -> Policy:
    """A model to evaluate and its tokenizer, on the accelerator if there is one.

    Args:
        model: a folder, an id on the Hugging Face hub, or builtin:tool_task/seed0.
        on_cpu: leave it on the CPU.
        allow_missing: take a checkpoint that lacks tensors.

    Raises:
        ConfigError: as :func:`concord.run.paths.model_source` and :func:`concord.engines.pretrained.load_model`.
    """
    from transformers import AutoModelForCausalLM

    source = model_source(model)
    policy = load_model(source, AutoModelForCausalLM, allow_missing=allow_missing, dtype="auto")
    if torch.accelerator.is_available() and not on_cpu:
        policy.to(torch.accelerator.current_accelerator())
    tokenizer = load_tokenizer(source)
    if tokenizer.pad_token is None:  # as TRL does
        tokenizer.pad_token = tokenizer.eos_token
    return policy, tokenizer


def evaluate_sets(
    config: RunConfig,
    evaluation: EvaluationConfig,
    policy: Policy,
    *,
    batch_size: int = 64,
    temperature: float = 0.0,
    console: Console | None = None,
    title: str = "Evaluating",
) -> Found:
    """Answer every prompt of an evaluation once and score the answers.

    Args:
        config: of the run.
        evaluation: one of its.
        policy: model and tokenizer.
        batch_size, temperature, console, title: as in :func:`concord.run.evaluate.evaluate`.

    Raises:
        ConfigError: as :func:`concord.run.data.load_rows`.
        RewardError: a reward failed more often than it may.
    """
    rewards = RewardSet(build_rewards(evaluation.rewards or config.rewards))
    limit = completion_limit(config, evaluation)
    found = {}
    for label, rows in evaluation.sets.items():
        found[label] = evaluate(
            *policy,
            load_rows(rows, policy[1], config.seed),
            rewards,
            max_new_tokens=limit,
            batch_size=batch_size,
            temperature=temperature,
            seed=config.seed,
            console=console,
            title=f"{title}, {label}" if len(evaluation.sets) > 1 else title,
        )
    rewards.close()
    return found | ({OVERALL: pooled(list(found.values()))} if len(found) > 1 else {})


def pooled(parts: Sequence[Evaluation]) -> Evaluation:
    """What the rows of all parts give together: every row counts alike.

    Example:
        >>> small = Evaluation({"right": 1.0}, {"right": 0}, rows=1, length=2.0, unfinished=0.0)
        >>> large = Evaluation({"right": 0.5}, {"right": 1}, rows=3, length=4.0, unfinished=1.0)
        >>> pooled([small, large])
        Evaluation(rewards={'right': 0.6666666666666666}, unscored={'right': 1}, rows=4, length=3.5, unfinished=0.75)
    """
    rows = [part.rows for part in parts]
    names = parts[0].rewards
    scored = {name: [part.rows - part.unscored[name] for part in parts] for name in names}
    return Evaluation(
        rewards={name: _mean([part.rewards[name] for part in parts], scored[name]) for name in names},
        unscored={name: sum(part.unscored[name] for part in parts) for name in names},
        rows=sum(rows),
        length=_mean([part.length for part in parts], rows),
        unfinished=_mean([part.unfinished for part in parts], rows),
    )


def _mean(values: Sequence[float], counts: Sequence[int]) -> float:
    there = [(value, count) for value, count in zip(values, counts, strict=True) if count]
    return sum(value * count for value, count in there) / sum(counts) if there else float("nan")
