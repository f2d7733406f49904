"""Methods for trajectories of several turns, each turn a row; with a critic; with a judge; on a part of a group."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.methods.oracles import Ids, Rows, eps, mean, members, normalize, per_group, std, summed


def trajectories(ids: Ids, trajectory: Sequence[int], turn: Sequence[int]) -> list[list[int]]:
    """The rows of each, in the order of their turns."""
    found: dict[tuple[int, int], list[int]] = {}
    for n, key in enumerate(zip(ids, trajectory, strict=True)):
        found.setdefault(key, []).append(n)
    return [sorted(rows, key=lambda n: turn[n]) for rows in found.values()]


def rlvmr(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, tag: Sequence[int]) -> list[float]:
    *outcomes, steps = zip(*rewards, strict=True)
    parts = [per_group(outcome, ids, normalize(1e-6)) for outcome in outcomes]
    kinds = [hash((i, t)) for i, t in zip(ids, tag, strict=True)]
    parts.append(per_group(steps, kinds, normalize(1e-6)))
    return [math.fsum(row) for row in zip(*parts, strict=True)]


def igpo(
    rewards: Rows,
    ids: Ids,
    lengths: Sequence[int],
    numerics: str,
    trajectory: Sequence[int],
    turn: Sequence[int],
    answer_logp: Sequence[Sequence[float]],
    gamma: float = 1.0,
    separate: bool = False,
) -> list[float]:
    paid, last = summed(rewards), [False] * len(ids)
    for rows in trajectories(ids, trajectory, turn):
        last[rows[-1]] = True
        for n in rows[:-1]:
            before, after = answer_logp[n]
            paid[n] = math.exp(after) - math.exp(before)
    kinds = [(i, end and separate) for i, end in zip(ids, last, strict=True)]
    z = [0.0] * len(ids)
    for kind in set(kinds):
        rows = [n for n, k in enumerate(kinds) if k == kind]
        values = [paid[n] for n in rows]
        population = math.sqrt(math.fsum((v - mean(values)) ** 2 for v in values) / len(values))
        for n in rows:
            z[n] = (paid[n] - mean(values)) / (population + 1e-6) if len(rows) > 1 else 0.0
    out = [0.0] * len(ids)
    for rows in trajectories(ids, trajectory, turn):
        for n in rows:
            out[n] = math.fsum(gamma ** (turn[m] - turn[n]) * z[m] for m in rows if turn[m] >= turn[n])
    return out


def eapo(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, trajectory: Sequence[int], turn: Sequence[int]
) -> list[float]:
    paid = summed(rewards)
    for rows in trajectories(ids, trajectory, turn):
        for n in rows:
            paid[n] *= 0.995 ** (turn[rows[-1]] - turn[n])
    return per_group(paid, ids, normalize(eps(numerics)))


def contrastive_subset(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    total, out = summed(rewards), [0.0] * len(ids)
    for rows in members(ids):
        ranked = sorted(rows, key=lambda n: (-total[n], lengths[n]))
        ends = max(1, len(rows) // 4)
        kept = list(dict.fromkeys(ranked[:ends] + ranked[-ends:]))
        values = normalize(eps(numerics))([total[n] for n in kept])
        for n, value in zip(kept, values, strict=True):
            out[n] = value
    return out


def grpo_s(
    rewards: Rows,
    ids: Ids,
    lengths: Sequence[int],
    numerics: str,
    similarity: Sequence[float],
    demo_reward: Sequence[float],
) -> list[float]:
    total = summed(rewards)
    out = per_group(total, ids, normalize(eps(numerics)))
    for rows in members(ids):
        far = mean([1 - similarity[n] for n in rows])
        gaps = [demo_reward[n] - total[n] for n in rows]
        near = [gap for gap in gaps if (gap - mean(gaps)) ** 2 <= 1.0]
        model = sigmoid(mean(near or gaps)) / sigmoid(mean(gaps))
        for n in rows:
            out[n] *= sigmoid(1 - similarity[n]) / sigmoid(far) * model
    return out


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def spo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, lambda x: [v - mean(x) for v in x])


def brpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, lambda x: x if abs(mean(x)) <= 0.6 else [0.0] * len(x))


def ppo(
    rewards: Rows,
    ids: Ids,
    lengths: Sequence[int],
    numerics: str,
    values: Rows,
    response_mask: Sequence[Sequence[bool]],
) -> list[float]:
    paid = [[0.0] * len(row) for row in values]
    for n, (total, mask) in enumerate(zip(summed(rewards), response_mask, strict=True)):
        paid[n][max(t for t, m in enumerate(mask) if m)] = total
    return means_of_tokens(whitened(estimates(paid, values, response_mask)))


def turn_ppo(
    rewards: Rows,
    ids: Ids,
    lengths: Sequence[int],
    numerics: str,
    turn_rewards: Rows,
    values: Rows,
    response_mask: Sequence[Sequence[bool]],
) -> list[float]:
    paid = []
    for total, row in zip(summed(rewards), turn_rewards, strict=True):
        parts = max(1, sum(r > 0 for r in row)) if total > 0 else 1
        paid.append([r / parts for r in row])
    return means_of_tokens(whitened(estimates(paid, values, response_mask)))


def pf_ppo(
    rewards: Rows,
    ids: Ids,
    lengths: Sequence[int],
    numerics: str,
    values: Rows,
    response_mask: Sequence[Sequence[bool]],
) -> list[float]:
    total, odds = summed(rewards), [0.0] * len(ids)
    for rows in members(ids):
        for extreme in (min, max):
            tied = [n for n in rows if total[n] == extreme(total[m] for m in rows)]
            for n in tied:
                odds[n] += 1 / len(tied)
    advantages = ppo(rewards, ids, lengths, numerics, values, response_mask)
    return [len(ids) * w / sum(odds) * a for w, a in zip(odds, advantages, strict=True)]


def estimates(
    paid: Rows, values: Rows, response_mask: Sequence[Sequence[bool]], gamma: float = 1.0, lam: float = 0.95
) -> list[dict[int, float]]:
    """For each response, the advantages of its sampled tokens: a discounted sum of the errors still to come."""
    out = []
    for r, v, mask in zip(paid, values, response_mask, strict=True):
        places = [t for t, m in enumerate(mask) if m]
        following = dict(zip(places, [v[t] for t in places[1:]] + [0.0], strict=True))
        error = [r[t] + gamma * following[t] - v[t] for t in places]
        out.append(
            {t: math.fsum((gamma * lam) ** k * e for k, e in enumerate(error[i:])) for i, t in enumerate(places)}
        )
    return out


def whitened(advantages: list[dict[int, float]]) -> list[dict[int, float]]:
    every = [a for row in advantages for a in row.values()]
    scale = 1 / math.sqrt(std(every) ** 2 + 1e-8)
    return [{t: (a - mean(every)) * scale for t, a in row.items()} for row in advantages]


def means_of_tokens(advantages: list[dict[int, float]]) -> list[float]:
    return [mean(list(row.values())) for row in advantages]
