"""Several analyses in one table: a row each, so that what is compared stands in one column."""

from __future__ import annotations

from collections.abc import Mapping

from concord.report.analysis import Analysis
from concord.report.page.tables import Column, Table, table


def headline(analyses: Mapping[str, Analysis]) -> Table:
    """One row an analysis."""
    columns = (
        Column("run", "name"),
        Column("rollouts", "count"),
        Column("groups", "count"),
        Column("steps", "count"),
        Column("cancelled", "share", "of the signal"),
        Column("by chance", "share", "what the same rewards would cancel if they had nothing to do with each other"),
        Column("mixed signs", "share", "of rollouts"),
        Column("silent groups", "share", "groups in which no reward says anything"),
        Column("kept by GD2PO", "share", "at the tau of the settings"),
        Column("whitening gain", "number"),
        Column("mean length", "number"),
        Column("truncated", "share"),
    )
    rows = (
        (
            *(name, a.rollouts, a.groups, a.steps, a.conflict.cancelled_share, a.conflict.cancelled_by_chance),
            *(a.conflict.mixed_sign_share, a.conflict.silent_groups),
            next((chosen.kept for chosen in a.methods if chosen.method == "gd2po"), None),
            *(a.conflict.whitening_gain, a.quality.mean_length, a.quality.truncated_share),
        )
        for name, a in analyses.items()
    )
    return table("compared", columns, rows)


def rewards(analyses: Mapping[str, Analysis]) -> Table:
    """One row a reward and analysis, the same reward's rows together."""
    columns = (
        Column("reward", "name"),
        Column("run", "text"),
        Column("verdict", "text"),
        Column("weight", "number"),
        Column("mean", "number"),
        Column("last third", "number", "mean over the last third of the steps"),
        Column("within-group std", "number", "mean over groups"),
        Column("dead groups", "share", "groups in which it does not vary"),
        Column("share of |A|", "share", "its share of the standardised signal"),
        Column("effective weight", "share", "its part in where the advantage ends up"),
        Column("r with length", "signed", "mean over groups"),
    )
    order = dict.fromkeys(reward.name for analysis in analyses.values() for reward in analysis.rewards)
    rows = (
        (
            *(reward.name, run, reward.verdict, reward.weight, reward.mean),
            reward.trend.last if reward.trend else None,
            *(reward.within_group_std, reward.dead_group_share, reward.share_of_advantage),
            *(reward.effective_weight, reward.length_correlation.value),
        )
        for name in order
        for run, analysis in analyses.items()
        for reward in analysis.rewards
        if reward.name == name
    )
    return table("rewards-compared", columns, rows)


def findings(analyses: Mapping[str, Analysis]) -> Table:
    """One row a finding that is more than something to know."""
    columns = (Column("run", "name"), Column("severity", "text"), Column("rule", "text"), Column("finding", "long"))
    rows = (
        (run, finding.severity, finding.rule, finding.message.replace("`", ""))
        for run, analysis in analyses.items()
        for finding in analysis.findings
        if finding.severity != "info"
    )
    return table("findings-compared", columns, rows)
