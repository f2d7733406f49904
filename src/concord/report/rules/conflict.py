"""Rewards against each other."""

from __future__ import annotations

from collections.abc import Iterator

from concord.report.analysis import Analysis
from concord.report.rules.rule import FEWEST_GROUPS, Hit, Rule, holds, percent


def _cancelled(analysis: Analysis) -> Iterator[Hit]:
    c = analysis.conflict
    if len(analysis.rewards) < 2 or c.cancelled_excess.groups == 0:
        return
    numbers = {"cancelled_share": c.cancelled_share, "cancelled_by_chance": c.cancelled_by_chance}
    said = f"{percent(c.cancelled_share)} of the signal cancels"
    chance = f"rewards that know nothing of each other would give {percent(c.cancelled_by_chance)}"
    excess = c.cancelled_excess.value
    if holds(c.cancelled_excess) and excess > 0.05:
        yield Hit("serious" if excess > 0.2 else "warning", f"{said}; {chance}", numbers=numbers)
    elif c.cancelled_excess.groups < FEWEST_GROUPS:
        yield Hit("info", f"{said}; {chance}, and these are too few groups to tell them apart", numbers=numbers)
    else:
        yield Hit("info", f"{said}; {chance}, so there is little conflict beyond chance", numbers=numbers)


def _opposed(analysis: Analysis) -> Iterator[Hit]:
    weights = {reward.name: reward.weight for reward in analysis.rewards}
    for pair in analysis.conflict.pairs:
        r = pair.correlation.value
        if weights[pair.first] and weights[pair.second] and holds(pair.correlation) and r < -0.15:
            yield Hit(
                "serious" if r < -0.5 else "warning",
                f"`{pair.first}` opposes `{pair.second}` in {percent(pair.opposed_groups)} of the groups in which both "
                f"vary ({percent(pair.opposed_by_chance)} by chance); their correlation inside a group is {r:.2f}",
                (pair.first, pair.second),
                {"opposed_groups": pair.opposed_groups, "by_chance": pair.opposed_by_chance, "correlation": r},
            )


def _same(analysis: Analysis) -> Iterator[Hit]:
    for pair in analysis.conflict.pairs:
        r = pair.correlation.value
        if holds(pair.correlation) and r > 0.95:
            yield Hit(
                "info",
                f"`{pair.first}` and `{pair.second}` say the same (correlation inside a group {r:.2f}): "
                "together they weigh as much as both",
                (pair.first, pair.second),
                {"correlation": r},
            )


def _dominant(analysis: Analysis) -> Iterator[Hit]:
    total = sum(abs(reward.weight) for reward in analysis.rewards)
    if len(analysis.rewards) < 2 or not total:
        return
    for reward in analysis.rewards:
        given, share = abs(reward.weight) / total, reward.share_of_advantage
        if share > 0.8 and share > given + 0.2:
            yield Hit(
                "warning",
                f"`{reward.name}` makes {percent(share)} of the advantage, with {percent(given)} of the weights",
                (reward.name,),
                {"share_of_advantage": share, "share_of_weights": given},
            )


def _raw_scale(analysis: Analysis) -> Iterator[Hit]:
    for reward in analysis.rewards:
        raw, share = reward.share_of_raw_sum, reward.share_of_advantage
        if len(analysis.rewards) > 1 and raw > 0.9 and raw > share + 0.2:
            yield Hit(
                "info",
                f"where raw rewards are summed (GRPO), `{reward.name}` makes {percent(raw)} of the advantage by its "
                f"scale; normalised one by one (GDPO), {percent(share)}",
                (reward.name,),
                {"share_of_raw_sum": raw, "share_of_advantage": share},
            )


def _gain(analysis: Analysis) -> Iterator[Hit]:
    gain = analysis.conflict.whitening_gain
    if gain > 3:
        yield Hit(
            "serious" if gain > 10 else "warning",
            f"GDPO's batch step multiplies the signal by {gain:.1f}: what is left after silence and cancelling "
            "is made loud again",
            numbers={"whitening_gain": gain, "highest_gain": analysis.conflict.highest_gain},
        )


RULES = (
    Rule(
        "opposed_rewards",
        "mean correlation inside a group below -0.15 and beyond chance (serious: below -0.5)",
        _opposed,
    ),
    Rule(
        "cancelled_signal",
        "more cancels than shuffled rewards would, by 5 points and beyond chance (serious: by 20 points)",
        _cancelled,
    ),
    Rule("same_reward", "mean correlation inside a group above 0.95 and beyond chance", _same),
    Rule("dominant_reward", "above 80 % of |A|, and 20 points above its share of the weights", _dominant),
    Rule("raw_scale", "above 90 % of the raw sum, and 20 points above its share when normalised", _raw_scale),
    Rule("whitening_gain", "mean over steps above 3 (serious: 10)", _gain),
)
