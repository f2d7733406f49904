"""One reward by itself, and over time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from concord.report.analysis import Analysis, Reward, Trend
from concord.report.rules.rule import FEWEST_GROUPS, Hit, Rule, beyond_chance, holds, percent

LENGTH_NAME = re.compile(r"len|short|long|brev|concis|token|verbos", re.IGNORECASE)
"""Rewards with such names are about length by design."""


def change(reward: Reward) -> float:
    """The reward's rise or fall over the run in its own standard deviations; 0 if chance may do it.

    Less than 0.2 deviations counts as none.
    """
    trend: Trend | None = reward.trend
    if trend is None or not reward.std or not beyond_chance(trend.change, trend.error, 2 * trend.steps - 1):
        return 0.0
    size = trend.change / reward.std
    return size if abs(size) >= 0.2 else 0.0


def _dead(analysis: Analysis) -> Iterator[Hit]:
    if analysis.groups < FEWEST_GROUPS:
        return
    measured = [r for r in analysis.rewards if not math.isnan(r.dead_group_share)]
    dead = [r for r in measured if r.dead_group_share > 0.95 and r.saturated_since is None]
    for reward in dead:
        ends = f"; {percent(reward.saturation)} of its scores are {_end(reward):g}" if reward.saturation > 0.5 else ""
        yield Hit(
            "serious" if len(dead) == len(measured) else "warning",
            f"`{reward.name}` says nothing: it does not vary in {percent(reward.dead_group_share)} of groups{ends}",
            (reward.name,),
            {"dead_group_share": reward.dead_group_share},
        )


def _saturated(analysis: Analysis) -> Iterator[Hit]:
    for reward in analysis.rewards:
        if reward.saturated_since is None:
            continue
        late = [p.mean[reward.name] for p in analysis.series if p.step >= reward.saturated_since]
        mean = sum(late) / len(late)
        # Stuck in the lower half of its range is a failure; at the top it is done.
        low = mean < (reward.low + reward.high) / 2
        yield Hit(
            "warning" if low else "info",
            f"`{reward.name}` is saturated since step {reward.saturated_since}, near {mean:.3g}"
            + (": it stopped teaching before it was earned" if low else ""),
            (reward.name,),
            {"since": float(reward.saturated_since), "mean": mean},
        )


def _hacked(analysis: Analysis) -> Iterator[Hit]:
    rising = [reward for reward in analysis.rewards if change(reward) > 0]
    for reward in analysis.rewards:
        if change(reward) >= 0 or reward.trend is None:
            continue
        fell = f"`{reward.name}` fell from {reward.trend.first:.3g} to {reward.trend.last:.3g}"
        numbers = {"first": reward.trend.first, "last": reward.trend.last}
        if rising:
            rose = ", ".join(f"`{r.name}` ({r.trend.first:.3g} to {r.trend.last:.3g})" for r in rising if r.trend)
            names = (reward.name, *(r.name for r in rising))
            yield Hit("serious", f"{fell} while {rose} rose: the policy trades one for the other", names, numbers)
        else:
            yield Hit("warning", f"{fell} over the run", (reward.name,), numbers)


def _length(analysis: Analysis) -> Iterator[Hit]:
    unit = analysis.quality.length_unit
    for reward in analysis.rewards:
        r = reward.length_correlation.value
        if abs(r) > 0.3 and holds(reward.length_correlation):
            meant = LENGTH_NAME.search(reward.name) is not None
            yield Hit(
                "warning" if abs(r) > 0.5 and not meant else "info",
                f"`{reward.name}` goes with {'longer' if r > 0 else 'shorter'} responses: its correlation with their "
                f"length in {unit} is {r:.2f} inside a group" + (", as its name suggests" if meant else ""),
                (reward.name,),
                {"correlation": r},
            )


def _silent(analysis: Analysis) -> Iterator[Hit]:
    silent = analysis.conflict.silent_groups
    error = math.sqrt(silent * (1 - silent) / analysis.groups)
    comparable = analysis.groups > analysis.quality.singletons
    if comparable and analysis.groups >= FEWEST_GROUPS and silent - 2 * error > 0.7:
        yield Hit(
            "serious" if silent > 0.95 else "warning",
            f"no reward tells the rollouts apart in {percent(silent)} of groups: they are generated and teach nothing",
            numbers={"silent_groups": silent},
        )


FAINT = 1e-4
"""A spread inside groups below this share of the scores' size, or of their spread over the run, is worth a look."""


def _faint(analysis: Analysis) -> Iterator[Hit]:
    for reward in analysis.rewards:
        alive = 1 - reward.dead_group_share
        if not alive > 0 or not reward.within_group_std > 0:
            continue
        spread = reward.within_group_std / alive
        size = max(abs(reward.low), abs(reward.high))
        if spread < FAINT * reward.std:
            beside = f"beside {reward.std:.2g} over the run"
        elif spread < FAINT * size:
            beside = f"around {reward.mean:.7g}"
        else:
            continue
        floor = 10.0 ** math.ceil(math.log10(10 * spread))
        yield Hit(
            "warning" if reward.share_of_advantage >= 0.05 else "info",
            f"`{reward.name}` varies by {spread:.1g} inside a group {beside}; standardised, such a difference weighs "
            f"as much as any other: if it is noise, noise_floor: {floor:g} silences it",
            (reward.name,),
            {"spread": spread, "size": size, "std": reward.std, "noise_floor": floor},
        )


def _end(reward: Reward) -> float:
    return reward.low if reward.at_low >= reward.at_high else reward.high


RULES = (
    Rule(
        "hacked_reward",
        "one reward falls by 0.2 of its deviation or more, beyond chance, first third of the steps against the last "
        "(serious: while another rises so); 15 steps needed",
        _hacked,
    ),
    Rule("dead_reward", "does not vary in more than 95 % of groups (serious: nor does any other)", _dead),
    Rule(
        "faint_reward",
        "varies inside groups by less than 1e-4 of its size, or of its standard deviation over the run (info: with "
        "less than 5 % of the advantage)",
        _faint,
    ),
    Rule(
        "saturated_reward",
        "from some step on dead in 90 % of groups, before in at most 70 % (warning: in the lower half of its range)",
        _saturated,
    ),
    Rule(
        "silent_groups", "more than 70 % of groups without any signal, by two standard errors (serious: 95 %)", _silent
    ),
    Rule(
        "length_coupling",
        "correlation with length inside a group beyond 0.3 either way (warning: beyond 0.5, unless named for length)",
        _length,
    ),
)
