"""How far the data can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from concord.core.status import FAULTS, SCORED
from concord.report.analysis import Analysis
from concord.report.rules.rule import FEWEST_GROUPS, Hit, Rule, percent


def _faults(analysis: Analysis) -> Iterator[Hit]:
    for reward in analysis.rewards:
        found = {status: reward.statuses[status] for status in FAULTS if reward.statuses.get(status)}
        if found:
            share = sum(found.values())
            listed = ", ".join(f"{status} {percent(part)}" for status, part in found.items())
            yield Hit(
                "serious" if share > 0.1 else "warning" if share > 0.01 else "info",
                f"`{reward.name}` gave no score for {percent(share)} of rollouts: {listed}",
                (reward.name,),
                found,
            )


def _absent(analysis: Analysis) -> Iterator[Hit]:
    for reward in analysis.rewards:
        share = sum(part for status, part in reward.statuses.items() if status not in (SCORED, *FAULTS))
        if share > 0.01:
            yield Hit(
                "warning" if share > 0.99 else "info",
                f"`{reward.name}` has no score for {percent(share)} of rollouts",
                (reward.name,),
                {"share": share},
            )


def _unscored(analysis: Analysis) -> Iterator[Hit]:
    share = analysis.quality.unscored / analysis.rollouts
    if share > 0:
        yield Hit(
            "warning" if share > 0.01 else "info",
            f"{percent(share)} of rollouts have no score at all: they cannot be trained on",
            numbers={"unscored": share},
        )


def _groups(analysis: Analysis) -> Iterator[Hit]:
    q = analysis.quality
    if q.singletons == analysis.groups:
        yield Hit(
            "serious",
            "every group holds one rollout: there is nothing to compare it with, so nothing is said about conflicts",
            numbers={"singletons": q.singletons},
        )
    elif q.odd_groups:
        yield Hit(
            "info",
            f"{q.odd_groups} of {analysis.groups} groups have other than {q.usual_size} rollouts",
            numbers={"odd_groups": q.odd_groups, "usual_size": q.usual_size},
        )


def _few(analysis: Analysis) -> Iterator[Hit]:
    speaking = round(analysis.groups * (1 - analysis.conflict.silent_groups))
    if speaking < FEWEST_GROUPS and analysis.quality.singletons < analysis.groups:
        yield Hit(
            "info",
            f"only {speaking} groups have a signal: too few to tell a conflict from chance",
            numbers={"speaking": speaking},
        )


def _skipped(analysis: Analysis) -> Iterator[Hit]:
    skipped = sum(analysis.quality.skipped.values())
    if skipped:
        listed = ", ".join(f"{count} x {reason}" for reason, count in analysis.quality.skipped.items())
        share = skipped / (skipped + analysis.rollouts)
        yield Hit(
            "warning" if share > 0.01 else "info",
            f"{skipped} lines, rows or files were skipped: {listed}",
            numbers={"skipped": skipped, "share": share},
        )


RULES = (
    Rule("failed_scores", "any (warning: above 1 % of rollouts; serious: 10 %)", _faults),
    Rule("missing_scores", "above 1 % of rollouts (warning: above 99 %)", _absent),
    Rule("unscored_rollouts", "any (warning: above 1 %)", _unscored),
    Rule("odd_groups", "any of another size than the commonest (serious: every group holds one rollout)", _groups),
    Rule("few_groups", "fewer than 8 groups with a signal", _few),
    Rule("skipped_input", "any (warning: above 1 % of what was read)", _skipped),
)
