"""What an analysis found, in words: every rule's findings, each reward's verdict, and the whole in a few sentences."""

from __future__ import annotations

import dataclasses
import math

from concord.report.analysis import Analysis, Finding, Reward
from concord.report.rules import conflict, data, reward
from concord.report.rules.rule import percent

RULES = (*reward.RULES, *conflict.RULES, *data.RULES)
"""All rules, the most telling first."""

SEVERITIES = ("serious", "warning", "info")


def judge(analysis: Analysis) -> Analysis:
    """The analysis with its findings, the rewards' verdicts and the sentences that sum it up."""
    found = [
        Finding(rule.name, hit.severity, hit.message, rule.threshold, hit.rewards, hit.numbers)
        for rule in RULES
        for hit in rule.find(analysis)
    ]
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: rules keep their order
    rewards = tuple(
        dataclasses.replace(reward, verdict=_verdict(reward, analysis, found)) for reward in analysis.rewards
    )
    judged = dataclasses.replace(analysis, findings=tuple(found), rewards=rewards)
    return dataclasses.replace(judged, verdict=_sentences(judged))


def _verdict(record: Reward, analysis: Analysis, found: list[Finding]) -> str:
    """Is it optimised, hacked, ignored or cancelled? The first word that fits."""
    rules = {finding.rule for finding in found if record.name in finding.rewards and finding.severity != "info"}
    change = reward.change(record)
    if math.isnan(record.dead_group_share):
        return "unmeasured"
    if record.saturated_since is not None:
        return "saturated"
    if "dead_reward" in rules:
        return "dead"
    if "hacked_reward" in rules:
        return "hacked" if change > 0 else "falling"
    if "opposed_rewards" in rules:
        return "cancelled"
    if "dominant_reward" in rules:
        return "dominant"
    if len(analysis.rewards) > 1 and not record.share_of_advantage >= 0.05:
        return "ignored"
    if record.trend is None:
        return "undecided"
    return "optimised" if change > 0 else "steady"


def _sentences(analysis: Analysis) -> tuple[str, ...]:
    """Three to six: what was read, what cancels, each reward's lot, the worst that was found."""
    conflict, names = analysis.conflict, [f"`{record.name}`" for record in analysis.rewards]
    said = [
        f"{analysis.rollouts:,} rollouts in {analysis.groups:,} groups over {analysis.steps:,} "
        f"{'step' if analysis.steps == 1 else 'steps'}, scored by {_listed(names)}."
    ]
    if len(names) > 1 and conflict.cancelled_excess.groups:
        said.append(
            f"{percent(conflict.cancelled_share)} of the signal cancels among the rewards "
            f"({percent(conflict.cancelled_by_chance)} would by chance); {percent(conflict.mixed_sign_share)} "
            "of rollouts are pushed both ways."
        )
    lots = [f"`{record.name}` is {record.verdict}" for record in analysis.rewards]
    said.append(f"{_listed(lots)}.")
    grave = [finding for finding in analysis.findings if finding.severity != "info"]
    said += [f"{finding.message}." for finding in grave if finding.rule != "cancelled_signal"][:3]
    if not grave:
        said.append("No rule raised a warning.")
    return tuple(said)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
