"""What DIR buys over linear methods where the bias is known, and on real pairs.

    python benchmarks/reward_model_bias.py                    # synthetic preferences
    python benchmarks/reward_model_bias.py --real FOLDER      # real pairs: files of PandaLM, HH and LLMBar

Synthetic: annotators decide by quality and by a confound (``small/confounded.py``); the test decides by quality alone.
A small encoder is trained from scratch. The weight of each penalty is chosen on one more seed, by the accuracy on its
test pairs: more than one can do where there are no unbiased pairs, but the same for all.

Real: of the pairs whose chosen answer is shorter, all but an eighth are withheld from training; the test is on
held-out pairs of both kinds. The weights are not tuned. The model (``scripts/make_reward_base.py`` makes it) knows
nothing but what these pairs teach.

Residualised scores have their slope from pairs that were not trained on. Shown are means over seeds with 95 %
intervals from bootstrap draws of the seeds, and for accuracy the paired difference to Bradley-Terry.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")

import argparse
import functools
import logging
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import datasets
import small
import torch
import transformers
from small import confounded as made
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback
from trl import RewardConfig

from concord.reward_models.biases import Label, formatting, label, length, more
from concord.reward_models.config import SourceConfig
from concord.reward_models.measures import Accuracy, LengthLink
from concord.reward_models.objective import CorrelationTerm, InformationTerm, Objective
from concord.reward_models.pairs import Pair
from concord.reward_models.read import load_pairs
from concord.reward_models.residual import length_slope
from concord.reward_models.rows import tokenised
from concord.reward_models.score import Scores, score
from concord.reward_models.trainer import RewardModelTrainer
from concord.rewards.model import RewardModel

SEEDS, TUNING_SEED = range(5), 99
WEIGHTS = (0.1, 0.3, 1.0)
PROBE_RATE = 1e-3  # the authors' 1e-4 is for thousands of updates; here there are about a hundred
REAL_WEIGHTS = {"bradley_terry": 0.0, "correlation": 1.0, "length": 1.0}
DRAWS = 10_000
COLUMNS = ("for", "against", "Pearson", "nats")

Numbers = dict[str, float]


def near_medium(prompt: str, chosen: str, rejected: str) -> int | None:
    """Which answer is nearer to 21 words: what the annotators of "medium" fall for."""
    return more(*(-abs(len(text.replace("- ", "").split()) - 21) for text in (chosen, rejected)))


LABELS: dict[str, Label] = {"length": length, "format": formatting, "near_medium": near_medium}
OWN = {"medium": "near_medium", "list": "format"}
"""Where the confound is not length itself, the label that names it."""


@dataclass(frozen=True)
class Setting:
    """Pairs to train on, to fit a slope on and to test on; and how to train.

    ``speaks`` is how far the confound speaks for the better answer of each test pair.
    """

    train: Sequence[Pair]
    fresh: Sequence[Pair]
    test: Sequence[Pair]
    speaks: Sequence[float]
    model: Callable[[], Any]
    tokenizer: Any
    options: Mapping[str, Any]


def synthetic(confound: str, seed: int) -> Setting:
    test, speaks = made.test_pairs("linear" if confound == "none" else confound, 600, seed)
    train, fresh = (made.training_pairs(confound, count, 1000 * seed + k) for k, count in enumerate((2048, 512)))
    options = {"per_device_train_batch_size": 64, "num_train_epochs": 3, "learning_rate": 1e-2, "logging_steps": 100}
    return Setting(train, fresh, test, speaks, made.model, made.tokenizer(), options)


def real(folder: Path, base: Path, seed: int) -> Setting:
    """Seven tenths to train on, a tenth for the slope, a fifth to test on; the first two withhold shorter answers."""
    tokenizer = AutoTokenizer.from_pretrained(base, model_max_length=192)
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jsonl"))
    every = [
        pair for file in files for pair in load_pairs(file.stem, SourceConfig(path=str(file))).pairs if pair.longer
    ]
    brief = [pair for pair in every if len(pair.question) + max(len(pair.chosen), len(pair.rejected)) < 600]
    random.Random(seed).shuffle(brief)
    ends = [round(share * len(brief)) for share in (0.7, 0.8)]
    parts, test = (brief[: ends[0]], brief[ends[0] : ends[1]]), brief[ends[1] :]
    train, fresh = ([p for index, p in enumerate(part) if p.longer > 0 or index % 8 == 0] for part in parts)
    config = AutoConfig.from_pretrained(base)
    options = {"per_device_train_batch_size": 32, "num_train_epochs": 3, "learning_rate": 1e-3, "logging_steps": 100}
    model = functools.partial(AutoModelForSequenceClassification.from_config, config)
    return Setting(train, fresh, test, [float(pair.longer) for pair in test], model, tokenizer, options)


def scorer(setting: Setting, objective: Objective, seed: int, folder: str) -> Callable[[Sequence[Pair]], Scores]:
    """Train from scratch; how the model scores."""
    labels = {bias: label(bias, LABELS[bias], 2, setting.train) for bias in objective.biases}
    torch.manual_seed(seed)
    trainer = RewardModelTrainer(
        model=setting.model(),
        args=RewardConfig(
            output_dir=folder, seed=seed, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False, lr_scheduler_type="cosine",
            warmup_steps=0.05, **setting.options,
        ),
        train_dataset=tokenised(setting.train, setting.tokenizer, labels, setting.tokenizer.model_max_length),
        processing_class=setting.tokenizer,
        objective=objective,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(folder)
    reward = RewardModel(folder, batch_size=64, device="cpu")
    return lambda pairs: score(reward, pairs)


def measured(scores: Scores, speaks: Sequence[float]) -> Numbers:
    """Accuracy over all test pairs, where the confound speaks for and against the better answer; links to length."""
    sways, link = torch.tensor(speaks), LengthLink.of(scores)
    parts = {"accuracy": sways.isfinite(), "for": sways > 0, "against": sways < 0}
    shares = {name: Accuracy.of(scores.margin[part]).share for name, part in parts.items()}
    return {**shares, "Pearson": link.pearson, "nats": link.information}


def objective(kind: str, weight: float) -> Objective:
    """Bradley-Terry, with the correlation, or with DIR on a bias."""
    if kind == "bradley_terry":
        return Objective()
    if kind == "correlation":
        return Objective((CorrelationTerm(weight),))
    return Objective((InformationTerm(kind, weight, hidden=128, steps=5, learning_rate=PROBE_RATE),))


def compare(setting: Setting, kinds: Mapping[str, float], seed: int) -> dict[str, Numbers]:
    """Every method, a weight each, on one seed; residualised scores come with Bradley-Terry's."""
    found = {}
    for kind, weight in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            scores = scorer(setting, objective(kind, weight), seed, folder)
            plain = scores(setting.test)
            found[kind] = measured(plain, setting.speaks)
            if kind == "bradley_terry":
                level = plain.without_length(length_slope(scores(setting.fresh)))
                found["residualised"] = measured(level, setting.speaks)
    return found


def sweep(confound: str, kind: str) -> dict[float, float]:
    """The accuracy of each weight on one more seed."""
    setting = synthetic(confound, TUNING_SEED)
    return {weight: compare(setting, {kind: weight}, TUNING_SEED)[kind]["accuracy"] for weight in WEIGHTS}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the 95 % interval of the mean over draws of the seeds."""
    table = torch.tensor(values, dtype=torch.float64)
    draws = table[torch.randint(len(table), (DRAWS, len(table)), generator=torch.Generator().manual_seed(0))].mean(1)
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float(table.mean()), low, high


def table(title: str, weights: Mapping[str, float], runs: Sequence[Mapping[str, Numbers]]) -> str:
    """Methods in rows; intervals where the methods are compared, means elsewhere."""
    lines = [f"{title:22}{'accuracy':>22}{'minus BT':>26}" + "".join(f"{name:>10}" for name in COLUMNS)]
    for method in runs[0]:
        share = interval([run[method]["accuracy"] for run in runs])
        gap = interval([run[method]["accuracy"] - run["bradley_terry"]["accuracy"] for run in runs])
        means = [sum(run[method][column] for run in runs) / len(runs) for column in COLUMNS]
        name = shown_name(method)
        name += f" x {weights[method]:g}" if weights.get(method) else ""
        both = "{:.3f} [{:.3f}, {:.3f}]".format(*share), "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gap)
        lines.append(f"  {name:20}{both[0]:>22}{both[1]:>26}" + "".join(f"{mean:10.3f}" for mean in means))
    return "\n".join(lines)


def shown_name(method: str) -> str:
    return f"dir {method}" if method in LABELS else method


def one_confound(confound: str) -> str:
    """Choose the weights, train on every seed, and say."""
    quiet()
    kinds = [] if confound == "none" else ["correlation", "length", *([OWN[confound]] if confound in OWN else [])]
    found = {kind: sweep(confound, kind) for kind in kinds}
    weights = {"bradley_terry": 0.0} | {kind: max(tried, key=tried.__getitem__) for kind, tried in found.items()}
    lines = [table(confound, weights, [compare(synthetic(confound, seed), weights, seed) for seed in SEEDS])]
    for kind, tried in found.items():
        shown = ", ".join(f"x {weight:g} {accuracy:.3f}" for weight, accuracy in tried.items())
        lines.append(f"  accuracy on the other seed, {shown_name(kind)}: {shown}")
    return "\n".join(lines)


def one_real(folder: Path, base: Path, seed: int) -> dict[str, Numbers]:
    quiet()
    return compare(real(folder, base, seed), REAL_WEIGHTS, seed)


def quiet() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.getLogger("concord").setLevel(logging.ERROR)


def main() -> None:
    parser = argparse.ArgumentParser(description="What DIR buys.")
    parser.add_argument("--real", type=Path, help="a folder with files of PandaLM, HH and LLMBar")
    parser.add_argument("--base", type=Path, default=Path("reward_base"), help="of scripts/make_reward_base.py")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        if arguments.real:
            runs = list(pool.map(functools.partial(one_real, arguments.real, arguments.base), SEEDS))
            print(table("real pairs", REAL_WEIGHTS, runs))
        else:
            for found in pool.map(one_confound, ["none", *made.CONFOUNDS]):
                print(found + "\n", flush=True)
    seconds = time.perf_counter() - start
    print(f"{small.machine()}, two processes; seeds {SEEDS.start} to {SEEDS.stop - 1}; {seconds:.0f} s")


if __name__ == "__main__":
    main()
