"""BNPO, ADORA, RiskPO, group CVaR, COPO and DCPO once more, in loops over plain floats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.methods.oracles import Ids, Rows, centre, mean, members, normalize, per_group, std, summed

Table = Sequence[Sequence[float]]  # [N][T]


def bnpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    channels = [beta_scaled(list(column), ids) for column in zip(*rewards, strict=True)]
    return [mean(row) for row in zip(*channels, strict=True)]


def beta_scaled(scores: Sequence[float], ids: Ids) -> list[float]:
    r = [min(max(score, 0.0), 1.0) for score in scores]
    rate = {g[0]: min(mean([r[n] for n in g]), 1.0) for g in members(ids)}
    told = [rate[g[0]] for g in members(ids) if len(g) > 1]
    alpha = beta = 1.0
    if len(told) > 1 and max(told) - min(told) > 1e-4 * max(told):
        mu, v = mean(told), std(told) ** 2
        alpha = max(1.0, 1 + (mu * (1 - mu) / v - 1) * mu / 3)
        beta = max(1.0, 1 + (mu * (1 - mu) / v - 1) * (1 - mu) / 3)
    out = [0.0] * len(r)
    for group in members(ids):
        p, m = rate[group[0]], mean([r[n] for n in group])
        density = math.gamma(alpha + beta) / math.gamma(alpha) / math.gamma(beta)
        density *= p ** (alpha - 1) * (1 - p) ** (beta - 1)
        for n in group:
            out[n] = 0.0 if len(group) == 1 else (r[n] - m) * (min(1 / density, 1e6) if density > 0 else 1e6)
    return out


def adora(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, rule: str = "vlm", eps: float = 1e-9
) -> list[float]:
    r = summed(rewards)
    out = per_group(r, ids, normalize(eps))
    for group in members(ids):
        right = [lengths[n] for n in group if r[n] > 0.5]
        wrong = [lengths[n] for n in group if r[n] <= 0.5 and lengths[n] < 4094]
        if right and wrong:
            full = max(right) > mean(wrong)
        else:
            full = bool(right) if rule == "llm" else not right
        for n in group:
            out[n] *= 1.0 if full else 0.1
    return out


def adora_llm(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return adora(rewards, ids, lengths, numerics, "llm", 1e-6)


def quantile(x: Sequence[float], level: float) -> float:
    place, ordered = level * (len(x) - 1), sorted(x)
    below = math.floor(place)
    return ordered[below] + (ordered[min(below + 1, len(x) - 1)] - ordered[below]) * (place - below)


def risk_po(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, upper: float = 0.8, hard: bool = True
) -> list[float]:
    """The first step: five prompts a bundle, each bundle with its own quantiles."""
    r, groups = summed(rewards), members(ids)
    out = [0.0] * len(r)
    for first in range(0, len(groups), 5):
        prompts = groups[first : first + 5]
        papers = list(zip(*prompts, strict=False))
        scores = [math.fsum(r[n] for n in paper) for paper in papers]
        low, high = quantile(scores, 0.2), quantile(scores, upper)
        unit = 1.0 if len(papers) == 1 else std(scores)
        for paper, score in zip(papers, scores, strict=True):
            inside = min(max(score, low), high) - (low if hard else high)
            a = (1.5 * min(score - low, 0.0) / (0.2 + 1e-6) + inside / (upper - 0.2 + 1e-6)) / 2.5 / (unit + 1e-6)
            if max(scores) - min(scores) <= 1e-4 * max(map(abs, scores)) and len(scores) > 1:
                a = 0.0
            own = {n: r[n] - mean([r[m] for m in prompt]) for n, prompt in zip(paper, prompts, strict=True)}
            whole = math.fsum(own.values())
            for n, prompt in zip(paper, prompts, strict=True):
                if hard:
                    out[n] = a / len(paper) if abs(whole) <= 1e-6 else a * own[n] / whole
                else:
                    spread = std([r[m] for m in prompt])
                    out[n] = a / ((spread if spread > 1e-3 else 1.0) + 1e-6)
    return out


def risk_po_easy(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return risk_po(rewards, ids, lengths, numerics, upper=0.9, hard=False)


def group_cvar(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, alpha: float = 0.25) -> list[float]:
    def worst(x: list[float]) -> list[float]:
        level = sorted(x)[min(math.floor(alpha * len(x) + 1e-9), len(x) - 1)]
        return centre([level + min(v - level, 0.0) / alpha for v in x])

    return per_group(summed(rewards), ids, worst)


def entropy(answers: Sequence[int]) -> float:
    shares = [answers.count(a) / len(answers) for a in set(answers)]
    return -math.fsum(p * math.log2(p) for p in shares)


def copo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, answers: Sequence[int]) -> list[float]:
    r, groups = summed(rewards), members(ids)
    local = per_group(r, ids, normalize(1e-6))
    rates = [mean([r[n] for n in group]) for group in groups]
    flat = max(rates) - min(rates) <= 1e-4 * max(map(abs, rates))
    out = [0.0] * len(r)
    for group, rate in zip(groups, rates, strict=True):
        among = 0.0 if flat else (rate - mean(rates)) / (std(rates) + 1e-6)
        soft = 1 / (1 + math.exp(-5 * (entropy([answers[n] for n in group]) - 1)))
        for n in group:
            w = soft if r[n] != 0 else 0.0
            out[n] = w * local[n] + (1 - w) * among
    return out


def dcpo(
    rewards: Rows,
    ids: Ids,
    lengths: Sequence[int],
    numerics: str,
    old_logp: Table,
    tempered_logp: Table,
    response_mask: Table,
) -> list[float]:
    """The first step, at entropy 0: the mean over tokens."""
    r, local = summed(rewards), per_group(summed(rewards), ids, normalize(1e-6))
    share = mean([float(v > 0.05) for v in r])
    a = 1.0 if share == 0 else (0.1 / share) / (1 + 0.1 / share)
    out = []
    for n, old in enumerate(old_logp):
        steps = [t for t, on in enumerate(response_mask[n]) if on]
        likelier = [math.exp(tempered_logp[n][t] - old[t]) if r[n] > 0.05 else 0.0 for t in steps]
        out.append(mean([(1 - a) * local[n] + a * q for q in likelier]))
    return out
