"""Draw the pictures of the documentation, and print the numbers that its pages take from them.

    concord train demo
    python scripts/figures.py --run runs/demo

All but the demo's curves are computed on seeded batches by the stages that train. The other picture of the landing page
is the report of the tutorial docs/tutorials/diagnose.md:

    concord diagnose runs/trl/completions --out report.html
    python scripts/screenshot_report.py report.html docs/assets/report_top.png --height 640
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from concord import Chain, Groups, Rollouts, Signal, create
from concord.functional.conflict import cancelled_share, consensus, mixed_sign
from concord.stages import GroupNormalize, Sum, Whiten

KEPT, DROPPED, REST = "#0f62a8", "#d3600e", "#8a8f98"
TAU = 0.8
STYLE = {"svg.hashsalt": "concord", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10}


def batch(correlation: float, *, prompts: int = 256, members: int = 8, seed: int = 0) -> Rollouts:
    """Two rewards, normal, with this correlation inside every group."""
    drawn = torch.randn(prompts * members, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    other = correlation * drawn[:, 0] + math.sqrt(1 - correlation**2) * drawn[:, 1]
    return Rollouts(torch.stack([drawn[:, 0], other], 1), Groups.uniform(prompts, members), ("right", "short"))


def contributions(rollouts: Rollouts) -> Tensor:
    """``[N, K]``: the rewards as GDPO and GD2PO standardise them."""
    return GroupNormalize().apply(Signal.start(rollouts), rollouts).values


def figure(width: float, height: float, panels: int) -> tuple[Figure, list[Axes]]:
    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = [drawn.add_subplot(1, panels, place) for place in range(1, panels + 1)]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return drawn, axes


def conflict() -> Figure:
    """The plane of two rewards with what GD2PO drops, and one group's contributions."""
    rollouts = batch(-0.4, prompts=24)
    z = contributions(rollouts)
    keep = create("gd2po", tau=TAU, numerics="trl").signal(rollouts).keep
    print(f"conflict: correlation -0.4, {len(keep)} rollouts, {1 - keep.double().mean():.0%} dropped at tau {TAU}")
    drawn, (plane, bars) = figure(8.4, 3.6, 2)
    # |a + b| / (|a| + |b|) = tau with unlike signs: the ratio of the two is (1 + tau) / (1 - tau), either way.
    slope, reach = (1 + TAU) / (1 - TAU), 2.6
    for sign in (1, -1):
        corners = [(0, 0), (sign * reach / slope, -sign * reach), (sign * reach, -sign * reach)]
        plane.fill(*zip(*corners, (sign * reach, -sign * reach / slope), strict=True), color=DROPPED, alpha=0.12, lw=0)
    plane.scatter(*z[keep].T.tolist(), s=14, color=KEPT, label="kept")
    plane.scatter(*z[~keep].T.tolist(), s=14, facecolors="none", edgecolors=DROPPED, label="dropped")
    plane.axhline(0, color=REST, lw=0.6)
    plane.axvline(0, color=REST, lw=0.6)
    plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="right, standardised", ylabel="short, standardised")
    plane.set_title(f"192 rollouts, tau {TAU}")
    plane.legend(frameon=False, loc="upper right")
    one = z[:8]
    for k, (name, hue) in enumerate((("right", KEPT), ("short", "#3f9c6b"))):
        below = [0.0 if k == 0 or x[0] * x[1] < 0 else x[0] for x in one.tolist()]
        bars.bar(range(8), one[:, k].tolist(), bottom=below, color=hue, width=0.6, label=name)
    bars.scatter(range(8), one.sum(1).tolist(), marker="_", s=220, lw=2.2, color="black", label="sum", zorder=3)
    bars.axhline(0, color=REST, lw=0.6)
    share = float(cancelled_share(one))
    print(f"conflict: the group has {share:.0%} of its signal cancelled, {int(mixed_sign(one).sum())} of 8 mixed")
    bars.set_title(f"one group: {share:.0%} of the signal cancels")
    bars.set(xlabel="rollout", ylabel="contribution", xticks=range(8))
    bars.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, 1))
    bars.set_ylim(float(one.min()) - 0.3, float(one.abs().sum(1).max()) + 0.6)
    return drawn


def sweep() -> Figure:
    """What each threshold keeps, and what still cancels, for rewards that oppose, ignore and join each other."""
    drawn, (kept, left) = figure(8.4, 2.8, 2)
    taus = [step / 50 for step in range(51)]
    for correlation, hue in ((-0.6, DROPPED), (0.0, REST), (0.6, KEPT)):
        z = contributions(batch(correlation, prompts=2048))
        mixed, score = mixed_sign(z), consensus(z).abs()
        held = [~(mixed & (score < tau)) for tau in taus]
        label = f"correlation {correlation:+.1f}"
        kept.plot(taus, [float(keep.double().mean()) for keep in held], color=hue, label=label)
        left.plot(taus, [float(cancelled_share(z[keep])) for keep in held], color=hue)
        at = ~(mixed & (score < TAU))
        print(
            f"sweep: {label}: {cancelled_share(z):.0%} cancels, {mixed.double().mean():.0%} mixed; "
            f"at tau {TAU} {at.double().mean():.0%} kept, {cancelled_share(z[at]):.1%} cancels still"
        )
    kept.set(xlabel="tau", ylim=(0, 1.03), title="share of rollouts kept")
    left.set(xlabel="tau", ylim=(0, None), title="share of the signal that cancels still")
    kept.legend(frameon=False, loc="lower left")
    return drawn


def silence() -> Figure:
    """A saturated reward with and without a noise floor, and what whitening multiplies by when few groups speak."""
    drawn, (noise, gain) = figure(8.4, 2.8, 2)
    scores = 1 + 1e-5 * torch.tensor([0.3, -0.8, 1.0, 0.1, -0.4, 0.9, -1.0, 0.2])
    plain = (scores - scores.mean()) / (scores.std() + 1e-6)
    rollouts = Rollouts(scores[:, None], Groups.uniform(1, 8), ("saturated",), noise_floor={"saturated": 1e-3})
    here = create("grpo").signal(rollouts).advantages
    print(f"silence: 1 +- 1e-5 gives up to {plain.abs().max():.2f} as published, {here.abs().max():.1f} under a floor")
    noise.bar([x - 0.2 for x in range(8)], plain.tolist(), width=0.4, color=DROPPED, label="(r - mean) / (std + 1e-6)")
    noise.scatter([x + 0.2 for x in range(8)], here.tolist(), s=18, color=KEPT, label="noise_floor 0.001: exactly 0")
    noise.set(xlabel="rollout", ylim=(-2, 2.6), title="scores of 1 ± 0.00001")
    noise.legend(frameon=False, loc="upper left", fontsize=8)
    prompts, speaking = 32, [1, 2, 4, 8, 12, 16, 24, 32]
    measured = [whitening_gain(prompts, k) for k in speaking]
    print("silence: whitening gain", dict(zip(speaking, (round(value, 2) for value in measured), strict=True)))
    gain.plot(speaking, [math.sqrt(prompts / k) for k in speaking], color=REST, label="sqrt(P / k)")
    gain.scatter(speaking, measured, s=18, color=KEPT, label="measured")
    gain.set(xlabel=f"groups that speak, k of P = {prompts}", ylim=(0, None), title="what whitening multiplies by")
    gain.legend(frameon=False)
    return drawn


def whitening_gain(prompts: int, speaking: int) -> float:
    """How much whitening enlarges the signal of ``speaking`` groups of 8 among ``prompts``, the rest being silent."""
    rewards = torch.randn(prompts, 8, 1, generator=torch.Generator().manual_seed(0))
    rewards[speaking:] = 0
    rollouts = Rollouts(rewards.reshape(-1, 1), Groups.uniform(prompts, 8), ("r",))
    whitened = Chain((GroupNormalize(), Sum(), Whiten()))(rollouts)
    return float(whitened.metrics["whiten/gain"])


def chain() -> Figure:
    """One small batch after every stage of GD2PO."""
    rollouts = batch(-0.5, prompts=3, members=6, seed=7)
    method = create("gd2po", tau=TAU, numerics="trl")
    outcome = method.signal(rollouts, trace=True)
    states = [("rewards", Signal.start(rollouts)), *outcome.trace]
    drawn, axes = figure(8.4, 3.8, len(states))
    for panel, (name, signal) in zip(axes, states, strict=True):
        values = torch.where(signal.keep[:, None], signal.values, torch.nan)
        panel.pcolormesh(values.flip(0).numpy(), cmap="RdBu", vmin=-2, vmax=2, edgecolors="white", lw=0.6)
        for row, column in product(range(len(values)), range(values.shape[1])):
            if not signal.keep[row]:
                panel.text(column + 0.5, len(values) - row - 0.5, "x", ha="center", va="center", color=REST)
        for border in (6, 12):
            panel.axhline(border, color="black", lw=1)
        panel.set_title(name.replace("_", "\n"), fontsize=8)
        panel.set(yticks=[], xticks=[column + 0.5 for column in range(values.shape[1])])
        panel.set_xticklabels(signal.channels, fontsize=7)
        panel.spines[:].set_visible(False)
    axes[0].set(yticks=[3, 9, 15])
    axes[0].set_yticklabels(["query 3", "query 2", "query 1"], fontsize=8)
    kept = [int(part.sum()) for part in outcome.keep.split(6)]
    print(f"chain: kept {kept} of 6 in the three queries")
    return drawn


def curves(run: Path) -> Figure:
    """The demo's rewards and shares over its steps."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    history = [entry for line in lines if "reward" in (entry := json.loads(line))]
    panels = {
        "correctness, -3 to 3": {"": "rewards/correctness/mean"},
        "format and conciseness, 0 to 1": {"format": "rewards/format/mean", "conciseness": "rewards/conciseness/mean"},
        "exact calls, watched only": {"": "rewards/exact/mean"},
        "shares of rollouts and signal": {
            "kept": "concord/kept",
            "pushed both ways": "concord/conflict/mixed",
            "cancelled": "concord/conflict/cancelled",
        },
    }
    # As many pixels of CSS as the screenshot beside it, so that the two columns of the table get equal widths.
    drawn = Figure(figsize=(1280 / 96, 640 / 96), layout="constrained")
    steps = range(1, len(history) + 1)
    for place, (title, shown) in enumerate(panels.items(), start=1):
        panel = drawn.add_subplot(2, 2, place)
        panel.spines[["top", "right"]].set_visible(False)
        for (label, metric), hue in zip(shown.items(), (KEPT, DROPPED, "#3f9c6b"), strict=False):
            values = [entry[metric] for entry in history]
            panel.plot(steps, values, color=hue, alpha=0.25, lw=1.5)
            panel.plot(steps, smoothed(values), color=hue, label=label, lw=2.2)
        panel.set_title(title, fontsize=18)
        panel.tick_params(labelsize=15)
        if len(shown) > 1:
            panel.legend(frameon=False, fontsize=15)
    return drawn


def smoothed(values: Sequence[float], width: int = 5) -> list[float]:
    windows = (values[max(0, end - width) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


FIGURES: dict[str, Callable[[], Figure]] = {"conflict": conflict, "sweep": sweep, "silence": silence, "chain": chain}


def save(drawn: Figure, path: Path) -> None:
    """As SVG, the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        drawn.savefig(path, metadata={"Date": None, "Creator": None})
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="a folder of `concord train demo`, for its curves")
    parser.add_argument("--out", type=Path, default=Path("docs/assets"))
    given = parser.parse_args()
    with mpl.rc_context(STYLE):
        for name, draw in FIGURES.items():
            save(draw(), given.out / f"{name}.svg")
        if given.run:
            save(curves(given.run), given.out / "demo_curves.svg")


if __name__ == "__main__":
    main()
