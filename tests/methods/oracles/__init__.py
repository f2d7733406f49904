"""Each method once more, from its paper, in loops over plain floats: slow, and independent of src."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Rows = Sequence[Sequence[float]]  # [N][K]
Ids = Sequence[int]


def mean(x: Sequence[float]) -> float:
    return math.fsum(x) / len(x)


def std(x: Sequence[float]) -> float:
    if len(x) < 2:
        return 0.0
    m = mean(x)
    return math.sqrt(math.fsum((v - m) ** 2 for v in x) / (len(x) - 1))


def members(ids: Ids) -> list[list[int]]:
    return [[n for n, i in enumerate(ids) if i == p] for p in dict.fromkeys(ids)]


def per_group(x: Sequence[float], ids: Ids, f: Callable[[list[float]], list[float]]) -> list[float]:
    out = [0.0] * len(x)
    for rows in members(ids):
        for n, value in zip(rows, f([x[n] for n in rows]), strict=True):
            out[n] = value
    return out


def normalize(eps: float) -> Callable[[list[float]], list[float]]:
    return lambda x: [(v - mean(x)) / (std(x) + eps) if max(x) > min(x) else 0.0 for v in x]


def centre(x: list[float]) -> list[float]:
    return [v - mean(x) for v in x]


def others(x: list[float]) -> list[float]:
    return [v - mean(x[:i] + x[i + 1 :]) if len(x) > 1 else 0.0 for i, v in enumerate(x)]


def whiten_tokens(x: Sequence[float], lengths: Sequence[int], keep: Sequence[bool]) -> list[float]:
    """Over a list that holds each kept rollout's value once for each of its tokens (verl)."""
    tokens = [v for v, size, k in zip(x, lengths, keep, strict=True) if k for _ in range(size)]
    if len(tokens) < 2:
        return [0.0] * len(x)
    m, s = mean(tokens), std(tokens)
    return [(v - m) / math.sqrt(s * s + 1e-8) if k else 0.0 for v, k in zip(x, keep, strict=True)]


def whiten_rollouts(x: Sequence[float], keep: Sequence[bool]) -> list[float]:
    kept = [v for v, k in zip(x, keep, strict=True) if k]
    if not kept:
        return [0.0] * len(x)
    m, s = mean(kept), std(kept)
    return [(v - m) / (s + 1e-4) if k else 0.0 for v, k in zip(x, keep, strict=True)]


def silence(after: Sequence[float], before: Sequence[float], ids: Ids, keep: Sequence[bool]) -> list[float]:
    """Groups that said nothing before whitening say nothing after it."""
    out = list(after)
    for rows in members(ids):
        if all(before[n] == 0 for n in rows if keep[n]):
            for n in rows:
                out[n] = 0.0
    return out


def whiten(x: Sequence[float], ids: Ids, lengths: Sequence[int], keep: Sequence[bool], numerics: str) -> list[float]:
    white = whiten_tokens(x, lengths, keep) if numerics == "verl" else whiten_rollouts(x, keep)
    return silence(white, x, ids, keep)


def summed(rewards: Rows) -> list[float]:
    return [math.fsum(row) for row in rewards]


def eps(numerics: str) -> float:
    return {"verl": 1e-6, "trl": 1e-4}[numerics]


def grpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def dr_grpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, centre)


def bonus(contrastive_loss: Sequence[float]) -> list[float]:
    """With the defaults: lambda 0.2, floor -0.5."""
    return [max(-0.2 * loss, -0.5) if loss == loss else 0.0 for loss in contrastive_loss]


def clipo(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, contrastive_loss: Sequence[float]
) -> list[float]:
    return grpo([[*row, b] for row, b in zip(rewards, bonus(contrastive_loss), strict=True)], ids, lengths, numerics)


def clipo_dr_grpo(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, contrastive_loss: Sequence[float]
) -> list[float]:
    return dr_grpo([[*row, b] for row, b in zip(rewards, bonus(contrastive_loss), strict=True)], ids, lengths, numerics)


def rloo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, others)


def lite_ppo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    total = summed(rewards)
    return [v / (std(total) + eps(numerics)) for v in per_group(total, ids, centre)]


def reinforce_pp(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    total, every = summed(rewards), [True] * len(ids)
    return whiten_tokens(total, lengths, every) if numerics == "verl" else whiten_rollouts(total, every)


def reinforce_pp_baseline(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    centred = per_group(summed(rewards), ids, centre if numerics == "verl" else others)
    return whiten(centred, ids, lengths, [True] * len(ids), numerics)


def gspo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return grpo(rewards, ids, lengths, numerics)


def dapo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    """With the defaults: limit 20,480 tokens, buffer 4,096."""
    shaped = [
        total - min(max((size - (20480 - 4096)) / 4096, 0.0), 1.0)
        for total, size in zip(summed(rewards), lengths, strict=True)
    ]
    out = per_group(shaped, ids, normalize(eps(numerics)))
    for rows in members(ids):
        if all(rewards[n] == rewards[rows[0]] for n in rows):
            for n in rows:
                out[n] = 0.0
    return out


def channels(rewards: Rows, ids: Ids, numerics: str) -> list[list[float]]:
    columns = [per_group(column, ids, normalize(eps(numerics))) for column in zip(*rewards, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def gdpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return whiten(summed(channels(rewards, ids, numerics)), ids, lengths, [True] * len(ids), numerics)


def with_contrastive(z: list[list[float]], ids: Ids, numerics: str, loss: Sequence[float]) -> list[list[float]]:
    """One more channel, of the anchors alone; weight 0.2."""
    extra, given = [0.0] * len(z), bonus(loss)
    for rows in members(ids):
        anchors = [n for n in rows if loss[n] == loss[n]]
        if anchors:
            values = normalize(eps(numerics))([given[n] for n in anchors])
            for n, value in zip(anchors, values, strict=True):
                extra[n] = 0.2 * value
    return [[*row, value] for row, value in zip(z, extra, strict=True)]


def clipo_gdpo(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, contrastive_loss: Sequence[float]
) -> list[float]:
    z = with_contrastive(channels(rewards, ids, numerics), ids, numerics, contrastive_loss)
    return whiten(summed(z), ids, lengths, [True] * len(ids), numerics)


def kept_share(keep: Sequence[bool], ids: Ids) -> list[float]:
    return per_group([float(k) for k in keep], ids, lambda x: [mean(x)] * len(x))


def gd2po(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, tau: float = 0.8) -> list[float]:
    return gd2po_of(channels(rewards, ids, numerics), ids, lengths, numerics, tau)


def gd2po_of(z: list[list[float]], ids: Ids, lengths: Sequence[int], numerics: str, tau: float) -> list[float]:
    keep = []
    for row in z:
        conflict = any(v > 1e-8 for v in row) and any(v < -1e-8 for v in row)
        snr = abs(math.fsum(row)) / (math.fsum(map(abs, row)) + 1e-8)
        keep.append(not (conflict and (snr < tau or tau == 1)))
    weighted = [v * share for v, share in zip(summed(z), kept_share(keep, ids), strict=True)]
    return whiten(weighted, ids, lengths, keep, numerics)


def clipo_gd2po(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, contrastive_loss: Sequence[float]
) -> list[float]:
    z = with_contrastive(channels(rewards, ids, numerics), ids, numerics, contrastive_loss)
    return gd2po_of(z, ids, lengths, numerics, 0.8)


def gd2po_hard(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return gd2po(rewards, ids, lengths, numerics, tau=1.0)


def gd2po_paper(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, tau: float = 0.8) -> list[float]:
    z = channels(rewards, ids, numerics)
    keep = [abs(math.fsum(row)) / (math.fsum(map(abs, row)) + 1e-8) > tau for row in z]
    white = whiten(summed(z), ids, lengths, keep, numerics)
    return [v * share for v, share in zip(white, kept_share(keep, ids), strict=True)]
