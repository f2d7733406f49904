"""GDPO as four engines compute it, on one batch: how far apart they are, and what each does where data is bad.

    python benchmarks/engines_differ.py

Each engine's formula stands below in a few lines of its own, written from the source that is named beside it. Where TRL
or verl is installed its own code runs on the same batch: the largest difference to the formula is printed, and its row
of the second table is its own (there the last bit of a float32 matters). verl has an environment of its own, that of
`make test-engines`. NeMo-RL and ms-swift are read only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import os
import platform
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import concord

P, G, SEED = 32, 8, 0
NAMES = ("correct", "format", "brief")
Engine = Callable[[Tensor, Tensor], Tensor]
"""From rewards [P, G, K] and lengths [P, G] in tokens to advantages [P, G]."""


def deviation(values: Tensor) -> Tensor:
    """Over the scored members of a group, with Bessel's correction; NaN for fewer than two."""
    mean = values.nanmean(1, keepdim=True)
    scored = (~values.isnan()).sum(1, keepdim=True)
    return ((values - mean).square().nanmean(1, keepdim=True) * scored / (scored - 1)).sqrt()


def trl(rewards: Tensor, lengths: Tensor) -> Tensor:
    """huggingface/trl 1.16, grpo_trainer.py, multi_objective_aggregation="normalize_then_sum"."""
    parts = (rewards - rewards.nanmean(1, keepdim=True)) / (deviation(rewards) + 1e-4)
    total = parts.nansum(2)
    return (total - total.mean()) / (total.std() + 1e-4)


def verl(rewards: Tensor, lengths: Tensor) -> Tensor:
    """verl-project/verl 0.9.1, core_algos.py, adv_estimator=gdpo, and torch_functional.py, masked_whiten."""
    total = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-6)).sum(2)
    tokens = lengths.sum()
    mean = (lengths * total).sum() / tokens
    variance = (lengths * (total - mean).square()).sum() / tokens * tokens / (tokens - 1)
    return (total - mean) * (variance + 1e-8).rsqrt()


def nemo(rewards: Tensor, lengths: Tensor, *, leave_one_out: bool = False) -> Tensor:
    """NVIDIA-NeMo/RL 7ea279a, advantage_estimator.py and utils.py, calculate_baseline_and_std_per_prompt.

    The baseline with all members is that of the engine's GDPO example; the default of the option leaves one out.
    """
    members = torch.ones(G, G) - torch.eye(G) if leave_one_out else torch.ones(G, G)
    count = G - 1 if leave_one_out else G

    def mean_of(values: Tensor) -> Tensor:
        # A group and a reward at a time: another order of adding is another last bit.
        rows = values.transpose(1, 2).reshape(-1, G)
        return torch.stack([members @ row / count for row in rows]).view(len(values), -1, G).transpose(1, 2)

    mean, square = mean_of(rewards), mean_of(rewards.square())
    spread = ((square - mean.square()) * (count / (count - 1))).sqrt().nan_to_num(0)
    centred = rewards - mean
    total = torch.where(spread > 0, centred / (spread + 1e-6), centred).sum(2)
    centred = total - total.mean()
    return centred / total.std() if total.std() > 0 else centred


def nemo_others(rewards: Tensor, lengths: Tensor) -> Tensor:
    """The same with use_leave_one_out_baseline, the option's default: mean and deviation of the other rollouts."""
    return nemo(rewards, lengths, leave_one_out=True)


def swift(rewards: Tensor, lengths: Tensor) -> Tensor:
    """modelscope/ms-swift 3602360, swift/rl_core/advantage.py, scale_rewards="gdpo"."""
    parts = (rewards - rewards.nanmean(1, keepdim=True)) / (deviation(rewards) + 1e-8)
    total = parts.nan_to_num(nan=0.0).sum(2)
    return (total - total.mean()) / (total.std() + 1e-8)


def ours(numerics: str, noise_floor: float = 0.0) -> Engine:
    """Concord's GDPO; the floor is under the third reward."""
    method = concord.create("gdpo", numerics=numerics)

    def run(rewards: Tensor, lengths: Tensor) -> Tensor:
        flat, columns = rewards.flatten(0, 1), {"lengths": lengths.flatten()}
        names = NAMES[: flat.shape[1]]
        floors = dict.fromkeys(names[2:], noise_floor)
        batch = concord.Rollouts(flat, concord.Groups.uniform(len(rewards), G), names, columns, floors)
        return method.signal(batch).advantages.view(-1, G)

    return run


ENGINES: dict[str, Engine] = {
    "TRL": trl,
    "verl": verl,
    "NeMo-RL": nemo,
    "NeMo-RL, others": nemo_others,
    "ms-swift": swift,
}
CONCORD = {"Concord, trl": ours("trl"), "Concord, verl": ours("verl")}
FLOORED = {"Concord, verl, noise_floor 0.001": ours("verl", 1e-3)}


def batch() -> tuple[Tensor, Tensor]:
    """Correctness in [-3, 3] in steps of 0.2, format 0 or 1, brevity in [0, 1]; right answers tend to be long."""
    random = torch.Generator().manual_seed(SEED)
    skill = torch.randn(P, 1, generator=random) + torch.randn(P, G, generator=random)
    lengths = (200 + 80 * skill + 60 * torch.randn(P, G, generator=random)).clamp(20, 500).round()
    correct = (skill.clamp(-3, 3) * 5).round() / 5
    form = (torch.rand(P, G, generator=random) < 0.8).float()
    return torch.stack([correct, form, 1 - lengths / 512], 2), lengths


def apart(one: Tensor, other: Tensor) -> str:
    difference = (one - other).abs()
    return f"{difference.max():.3f} ({difference.mean():.3f})"


def pairs() -> None:
    """Largest and mean difference of every two, on the batch."""
    rewards, lengths = batch()
    found = {name: engine(rewards, lengths) for name, engine in (ENGINES | CONCORD).items()}
    names = list(found)
    print(f"largest (mean) difference in advantage, {P} groups of {G}, {len(NAMES)} rewards, seed {SEED}")
    print("| | " + " | ".join(names[:-1]) + " |\n|---|" + "---:|" * (len(names) - 1))
    for row, name in itertools.islice(enumerate(names), 1, None):
        cells = [apart(found[name], found[other]) for other in names[:row]]
        print(f"| {name} | " + " | ".join(cells + [""] * (len(names) - 1 - row)) + " |")


def missing(engine: Engine) -> str:
    """One score in twenty of one reward is missing: the share of advantages that are NaN."""
    rewards, lengths = batch()
    gone = torch.rand(P, G, generator=torch.Generator().manual_seed(SEED)) < 0.05
    rewards[..., 0] = torch.where(gone, torch.nan, rewards[..., 0])
    return f"{engine(rewards, lengths).isnan().float().mean():.0%}"


def saturated(engine: Engine) -> str:
    """A third reward that is 1 but for noise of 1e-5: the share of rollouts whose sign it turns."""
    rewards, lengths = batch()
    noise = 1 + 1e-5 * torch.randn(P, G, 1, generator=torch.Generator().manual_seed(SEED))
    before, after = engine(rewards[..., :2], lengths), engine(torch.cat([rewards[..., :2], noise], 2), lengths)
    return f"{(before.sign() != after.sign()).float().mean():.0%}"


def silent(engine: Engine) -> str:
    """No reward varies in any group: the largest advantage."""
    _, lengths = batch()
    level = torch.randint(1, 10, (P, 1, 2), generator=torch.Generator().manual_seed(SEED)) / 10
    return f"{engine(level.expand(P, G, 2).contiguous(), lengths).abs().max():.1g}"


def half(engine: Engine) -> str:
    """Nothing varies in half of the groups: the advantage that these get."""
    rewards, lengths = batch()
    rewards[::2] = rewards[::2, :1]
    return f"{engine(rewards, lengths)[::2].abs().max():.2g}"


def sparse(engine: Engine) -> str:
    """Two groups of 32 vary: how much larger their advantages are than in the whole batch."""
    rewards, lengths = batch()
    whole = engine(rewards, lengths)[:2].square().mean().sqrt()
    rewards[2:] = 1.0
    return f"{engine(rewards, lengths)[:2].square().mean().sqrt() / whole:.1f}"


def hard() -> None:
    """What each does with data that is not as it should be."""
    cases = {
        "5 % of a reward missing: NaN": missing,
        "a reward of 1 ± 1e-5: signs turned": saturated,
        "nothing varies: largest": silent,
        "silent half gets": half,
        "2 of 32 groups vary: times": sparse,
    }
    print("| | " + " | ".join(cases) + " |\n|---|" + "---:|" * len(cases))
    for name, engine in (ENGINES | installed() | CONCORD | FLOORED).items():
        print(f"| {name} | " + " | ".join(case(engine) for case in cases.values()) + " |")


def installed() -> dict[str, Engine]:
    """The engines' own code, of those that are here."""
    own: dict[str, Engine] = {"TRL": trl_itself, "verl": verl_itself}
    return {name: engine for name, engine in own.items() if importlib.util.find_spec(name.lower())}


def trl_itself(rewards: Tensor, lengths: Tensor) -> Tensor:
    """TRL's own trainer up to the advantages of its first step."""
    import small
    from transformers import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    def reward(index: int) -> Callable[..., list[float | None]]:
        def scores(completions: list[str], **_: Any) -> list[float | None]:
            return [None if score != score else score for score in rewards[..., index].flatten().tolist()]

        scores.__name__ = f"reward{index}"
        return scores

    sizes = {"num_generations": G, "per_device_train_batch_size": P * G, "max_steps": 1, "max_completion_length": 2}
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=small.policy(16, 1),
            reward_funcs=[reward(index) for index in range(rewards.shape[2])],
            args=GRPOConfig(**small.common(folder) | sizes, multi_objective_aggregation="normalize_then_sum"),
            train_dataset=small.prompts(P, 4, 8),
            processing_class=small.tokenizer(),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return torch.tensor(list(trainer._logs["advantages"])).view(P, G)


def verl_itself(rewards: Tensor, lengths: Tensor) -> Tensor:
    """verl's own estimator."""
    import numpy as np
    from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage

    mask = (torch.arange(512) < lengths.flatten()[:, None]).long()
    prompts = torch.ones(P * G, 1, dtype=torch.long)
    named = {f"reward{index}": rewards[..., index].flatten().numpy() for index in range(rewards.shape[2])}
    advantages, _ = compute_gdpo_outcome_advantage(
        torch.zeros(P * G, 512),
        mask,
        np.repeat(np.arange(P), G),
        config={"gdpo_reward_keys": list(named)},
        non_tensor_batch=named,
        batch={"prompts": prompts, "attention_mask": torch.cat([prompts, mask], 1)},
    )
    return advantages[:, 0].view(P, G)


def witnesses() -> None:
    """The formulas above against the engines themselves, where they are installed."""
    for name, engine in installed().items():
        difference = float((engine(*batch()) - ENGINES[name](*batch())).abs().max())
        version = importlib.metadata.version(name.lower())
        print(f"{name} {version}: its own code and the formula here differ by up to {difference:.0e}")


def main() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {platform.machine()}, float32\n")
    pairs()
    print()
    hard()
    print()
    witnesses()


if __name__ == "__main__":
    main()
