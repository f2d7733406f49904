"""An evaluation as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from concord.core.durable import whole_file
from concord.reward_models.evaluate import SetEvaluation
from concord.reward_models.measures import RATIOS

_LABELS = ("< 0.5", "0.5-0.9", "0.9-1.1", "1.1-2", "> 2")


def draw(found: Mapping[str, Mapping[str, SetEvaluation]], path: Path) -> None:
    """Draw, a row a set: accuracy by length ratio with 95 % intervals, calibration, and the link to length.

    Args:
        found: evaluations by model and set; the same sets for every model.
        path: of the PNG.
    """
    from matplotlib.figure import Figure

    sets = list(next(iter(found.values())))
    figure = Figure(figsize=(12, 2.9 * len(sets) + 0.4), layout="constrained")
    axes = figure.subplots(len(sets), 3, squeeze=False)
    for row, name in zip(axes, sets, strict=True):
        for index, (model, evaluations) in enumerate(found.items()):
            color = f"C{index}"
            _accuracy(row[0], evaluations[name], model, color, (index - (len(found) - 1) / 2) * 0.12)
            bins = evaluations[name].calibration.bins
            row[1].plot([b.confidence for b in bins], [b.accuracy for b in bins], "o-", color=color, markersize=4)
        _links(row[2], {model: evaluations[name] for model, evaluations in found.items()})
        _dress(row, name, next(iter(found.values()))[name].accuracy.pairs)
    axes[0][0].legend(frameon=False, fontsize=8)
    with whole_file(path) as place:
        figure.savefig(place, dpi=130, format="png")


def _accuracy(axes: Any, evaluation: SetEvaluation, model: str, color: str, shift: float) -> None:
    points = [(place, a) for place, a in enumerate(evaluation.by_length[name] for name in RATIOS) if a.pairs]
    axes.errorbar(
        [place + shift for place, _ in points],
        [a.share for _, a in points],
        yerr=[[a.share - a.low for _, a in points], [a.high - a.share for _, a in points]],
        fmt="o", markersize=4, linewidth=1, color=color, label=model,
    )  # fmt: skip


def _links(axes: Any, evaluations: Mapping[str, SetEvaluation]) -> None:
    """Bars of the two correlations and the information, a group a measure."""
    width = 0.8 / len(evaluations)
    for index, evaluation in enumerate(evaluations.values()):
        link = evaluation.length
        places = [place - 0.4 + width * (index + 0.5) for place in range(3)]
        axes.bar(places, [link.pearson, link.spearman, link.information], width * 0.9, color=f"C{index}")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set_xticks(range(3), ["Pearson", "Spearman", "information"], fontsize=8)


def _dress(row: Any, name: str, pairs: int) -> None:
    accuracy, calibration, links = row
    accuracy.set_title(f"{name} ({pairs} pairs): accuracy", fontsize=9)
    accuracy.set_xticks(range(len(_LABELS)), _LABELS, fontsize=8)
    accuracy.set_xlabel("length, chosen over rejected", fontsize=8)
    accuracy.axhline(0.5, color="grey", linewidth=0.5)
    accuracy.set_ylim(0, 1)
    calibration.set_title("accuracy by confidence", fontsize=9)
    calibration.plot([0.5, 1], [0.5, 1], color="grey", linewidth=0.5)
    calibration.set_xlabel("sigmoid(|margin|)", fontsize=8)
    calibration.set_ylim(0, 1)
    links.set_title("reward and length", fontsize=9)
    for axes in row:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
