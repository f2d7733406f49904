"""What a reward function makes of difficult text."""

from __future__ import annotations

from collections.abc import Mapping

from concord.core.status import FAULTS
from concord.rewards.check.finding import FAULT, OK, WARNING, Finding
from concord.rewards.check.scores import Range
from concord.rewards.check.texts import Case
from concord.rewards.scores import Score

SHOWN = 3
"""Texts that are named; the others are counted."""

_ADVICE = {
    "empty": "a policy may write nothing: give such text a low score, or None",
    "long": "cut the text, make the function linear in its length, or see that patterns cannot backtrack",
    "hostile": "a policy may write anything: parse within try, bound what is parsed, and never run text as code here",
}


def robustness(name: str, found: Mapping[Case, Mapping[str, Score]], stated: Range | None) -> list[Finding]:
    """The checks ``empty``, ``long`` and ``hostile``: an answer, finite and within the range, for each text."""
    findings = []
    for check, advice in _ADVICE.items():
        met = {case: wrong(scores[name], stated) for case, scores in found.items() if case.check == check}
        bad = {case: text for case, text in met.items() if text}
        numbers = {"texts": len(met), "bad": len(bad)}
        if not bad:
            findings.append(Finding(check, OK, f"an answer for each of {len(met)}: {_kinds(met)}", numbers=numbers))
            continue
        listed = [f"{case.name}: {text}" for case, text in list(bad.items())[:SHOWN]]
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        verdict = FAULT if any(case.verdict == FAULT for case in bad) else WARNING
        findings.append(Finding(check, verdict, "; ".join(listed) + more, advice, numbers))
    return findings


def wrong(score: Score, stated: Range | None) -> str | None:
    """What is wrong with a score; None if it is a number in the ``stated`` range, or an abstention."""
    if score.status in FAULTS:
        return score.error or score.status
    if stated is not None and score.value is not None and not stated[0] <= score.value <= stated[1]:
        return f"{score.value:.4g} is outside the stated {stated[0]:g} to {stated[1]:g}"
    return None


def _kinds(met: Mapping[Case, object]) -> str:
    names = [case.name for case in met]
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
