"""The curves of a run as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from concord.core.durable import whole_file
from concord.run.live import SHARES, known, reward_metric

_WINDOW = 5


def draw_curves(history: Sequence[Mapping[str, float]], rewards: Sequence[str], path: Path) -> None:
    """Draw each reward's mean, the shares of conflict, and the response length over the steps.

    Each reward has a panel of its own, because each has its own unit. The pale line is the step's
    value, the strong one a running mean over five steps.

    Args:
        history: the trainer's log entries.
        rewards: names, in order.
        path: of the PNG.
    """
    from matplotlib.figure import Figure

    panels = {name: {name: reward_metric(name)} for name in rewards}
    panels |= {"shares": SHARES, "response tokens": {"mean": "completions/mean_length"}}
    entries = [entry for entry in history if "reward" in entry]
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.4 * across, 2.6 * down), layout="constrained")
    for place, (title, lines) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(down, across, place)
        for label, metric in lines.items():
            points = [(entry["step"], entry[metric]) for entry in entries if known([entry.get(metric)])]
            steps, values = [step for step, _ in points], [value for _, value in points]
            (line,) = axes.plot(steps, values, alpha=0.25, linewidth=1)
            axes.plot(steps, _smoothed(values), color=line.get_color(), label=label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        if len(lines) > 1:
            axes.set_ylim(0, 1)
            axes.legend(frameon=False, fontsize=8)
    with whole_file(path) as file:
        figure.savefig(file, dpi=150, format="png")


def _smoothed(values: Sequence[float]) -> list[float]:
    """Mean over the last few entries; the first ones have fewer."""
    windows = (values[max(0, end - _WINDOW) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]
