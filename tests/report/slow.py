"""The report's numbers from their definitions, in plain loops over rows. Slow, and independent of the package.

Nothing here imports concord. Numerics are TRL's: eps 1e-4 on a group's deviation and on a step's.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

EPS = 1e-4
FLAT = 1e-4
DEAD_ZONE = 1e-8


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def std(values: Sequence[float]) -> float:
    """With Bessel's correction."""
    centre = mean(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    mx, my = mean(x), mean(y)
    sx, sy = math.fsum((a - mx) ** 2 for a in x), math.fsum((b - my) ** 2 for b in y)
    if sx < 1e-18 or sy < 1e-18:
        return math.nan
    return math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / math.sqrt(sx * sy)


def flat(values: Sequence[float]) -> bool:
    """Scores that differ by no more than 1e-4 of their size tell nothing apart."""
    return max(values) - min(values) <= FLAT * max(abs(v) for v in values)


def normalised(scores: Sequence[float]) -> list[float]:
    """One reward in one group; 0 where not scored."""
    known = [s for s in scores if not math.isnan(s)]
    if len(known) < 2 or flat(known):
        return [0.0] * len(scores)
    centre, deviation = mean(known), std(known)
    return [0.0 if math.isnan(s) else (s - centre) / (deviation + EPS) for s in scores]


class Slow:
    """A dump's groups, each as a dict, and every number that is asked of them.

    Args:
        groups: objects with ``step``, ``key``, ``scores [G][K]``, ``lengths`` and ``advantages`` (or None).
        names: the K rewards.
        weights: by name.
    """

    def __init__(self, groups: Sequence[Any], names: Sequence[str], weights: Mapping[str, float]) -> None:
        self.names, self.K = list(names), len(names)
        self.w = [weights.get(name, 1.0) for name in names]
        self.groups = []
        for g in groups:
            scores = [[float(v) for v in row] for row in g.scores]
            z = list(zip(*(normalised([row[k] for row in scores]) for k in range(self.K)), strict=True))
            x = [[w * v for w, v in zip(self.w, row, strict=True)] for row in z]
            self.groups.append(
                {"step": g.step, "key": g.key, "r": scores, "z": z, "x": x, "len": g.lengths, "a": g.advantages}
            )

    def rollouts(self) -> list[tuple[dict[str, Any], int]]:
        return [(g, n) for g in self.groups for n in range(len(g["r"]))]

    def column(self, k: int) -> list[float]:
        return [g["r"][n][k] for g, n in self.rollouts() if not math.isnan(g["r"][n][k])]

    def scored(self, g: dict[str, Any], n: int) -> bool:
        return not all(math.isnan(v) for v in g["r"][n])

    def mixed(self, x: Sequence[float]) -> bool:
        return max(x) > DEAD_ZONE and min(x) < -DEAD_ZONE

    # The headline.

    def cancelled_share(self) -> float:
        net = math.fsum(abs(math.fsum(g["x"][n])) for g, n in self.rollouts())
        gross = math.fsum(abs(v) for g, n in self.rollouts() for v in g["x"][n])
        return 1 - net / gross

    def mixed_sign_share(self) -> float:
        rows = [(g, n) for g, n in self.rollouts() if self.scored(g, n)]
        return sum(self.mixed(g["x"][n]) for g, n in rows) / len(rows)

    def whitening_gain(self) -> float:
        gains = []
        for rows in self.by_step().values():
            sums = [math.fsum(g["x"][n]) for g, n in rows if self.scored(g, n)]
            if any(abs(s) > DEAD_ZONE for s in sums):
                gains.append(1 / (std(sums) + EPS))
        return mean(gains)

    def by_step(self) -> dict[int, list[tuple[dict[str, Any], int]]]:
        steps = defaultdict(list)
        for g, n in self.rollouts():
            steps[g["step"]].append((g, n))
        return steps

    # One reward.

    def compared(self, k: int) -> list[list[float]]:
        """Its scores in each group in which it has two or more."""
        known = [[row[k] for row in g["r"] if not math.isnan(row[k])] for g in self.groups]
        return [scores for scores in known if len(scores) >= 2]

    def within_group_std(self, k: int) -> float:
        return mean([0.0 if flat(scores) else std(scores) for scores in self.compared(k)])

    def dead_group_share(self, k: int) -> float:
        return mean([float(flat(scores)) for scores in self.compared(k)])

    def share_of_advantage(self, k: int) -> float:
        totals = [math.fsum(abs(g["x"][n][j]) for g, n in self.rollouts()) for j in range(self.K)]
        return totals[k] / math.fsum(totals)

    def share_of_raw_sum(self, k: int) -> float:
        totals = []
        for j in range(self.K):
            total = 0.0
            for g in self.groups:
                known = [row[j] for row in g["r"] if not math.isnan(row[j])]
                if len(known) >= 2 and not flat(known):
                    total += math.fsum(abs(self.w[j] * (s - mean(known))) for s in known)
            totals.append(total)
        return totals[k] / math.fsum(totals)

    def effective_weight(self, k: int) -> float:
        sums = [(math.fsum(g["x"][n]), g["x"][n][k]) for g, n in self.rollouts()]
        part = math.fsum(math.copysign(1, total) * x for total, x in sums if total != 0)
        return part / math.fsum(abs(total) for total, _ in sums)

    def length_correlation(self, k: int) -> float:
        found = []
        for g in self.groups:
            lengths = normalised([float(v) for v in g["len"]])
            found.append(self.inner([row[k] for row in g["z"]], lengths))
        return mean([r for r in found if not math.isnan(r)])

    # Two rewards. A group's columns are centred already.

    def inner(self, a: Sequence[float], b: Sequence[float]) -> float:
        size = math.sqrt(math.fsum(v * v for v in a) * math.fsum(v * v for v in b))
        return math.fsum(u * v for u, v in zip(a, b, strict=True)) / size if size > 1e-12 else math.nan

    def sign(self, k: int) -> float:
        return -1.0 if self.w[k] < 0 else 1.0

    def group_correlations(self, j: int, k: int) -> list[float]:
        turn = self.sign(j) * self.sign(k)
        found = [turn * self.inner([row[j] for row in g["z"]], [row[k] for row in g["z"]]) for g in self.groups]
        return [r for r in found if not math.isnan(r)]

    def raw_correlation(self, j: int, k: int) -> float:
        both = [g["r"][n] for g, n in self.rollouts() if not math.isnan(g["r"][n][j] + g["r"][n][k])]
        return pearson([row[j] for row in both], [row[k] for row in both])

    def within_correlation(self, j: int, k: int) -> float:
        rows = [g["z"][n] for g, n in self.rollouts()]
        return self.sign(j) * self.sign(k) * self.inner([row[j] for row in rows], [row[k] for row in rows])

    def sign_correlation(self, j: int, k: int) -> float:
        products = [g["z"][n][j] * g["z"][n][k] for g, n in self.rollouts()]
        both = [p for p in products if p != 0]
        return self.sign(j) * self.sign(k) * sum(math.copysign(1, p) for p in both) / len(both)

    # What methods leave.

    def keep(self, x: Sequence[float], tau: float | None) -> bool:
        """GD2PO's rule; tau None keeps all."""
        if tau is None or not self.mixed(x):
            return True
        return tau < 1 and abs(math.fsum(x)) / (math.fsum(map(abs, x)) + 1e-8) >= tau

    def kept(self, tau: float | None) -> list[list[bool]]:
        """By group and rollout; a rollout without a score is never kept."""
        return [[self.scored(g, n) and self.keep(g["x"][n], tau) for n in range(len(g["r"]))] for g in self.groups]

    def selection(self, tau: float | None) -> dict[str, float]:
        """The row of the sweep."""
        kept = self.kept(tau)
        candidates = [sum(self.scored(g, n) for n in range(len(g["r"]))) for g in self.groups]
        speaking = [(sum(keep), count) for keep, count in zip(kept, candidates, strict=True) if count]
        left = [g["x"][n] for g, keep in zip(self.groups, kept, strict=True) for n, k in enumerate(keep) if k]
        gross = math.fsum(abs(v) for x in left for v in x)
        return {
            "kept": sum(k for k, _ in speaking) / sum(candidates),
            "groups_emptied": mean([float(k == 0) for k, _ in speaking]),
            "query_weight": mean([k / count for k, count in speaking]),
            "cancelled_share": 1 - math.fsum(abs(math.fsum(x)) for x in left) / gross if gross else 0.0,
        }

    def advantages(self, tau: float | None) -> list[float]:
        """GDPO's (None) or GD2PO's final advantages, in the groups' order; unscored rollouts left out."""
        kept = self.kept(tau)
        raw: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
        final: dict[tuple[int, int], float] = {}
        for p, g in enumerate(self.groups):
            candidates = sum(self.scored(g, n) for n in range(len(g["r"])))
            weight = 1.0 if tau is None else sum(kept[p]) / max(1, candidates)
            for n in range(len(g["x"])):
                final[p, n] = 0.0
                if kept[p][n]:
                    raw[g["step"]].append((p, n, weight * math.fsum(self.filled(g, n))))
        for entries in raw.values():
            values = [value for *_, value in entries]
            centre, deviation = mean(values), std(values) if len(values) > 1 else 0.0
            loud = {p for p, _, value in entries if value != 0}
            for p, n, value in entries:
                final[p, n] = (value - centre) / (deviation + EPS) if p in loud else 0.0
        return [value for (p, n), value in final.items() if self.scored(self.groups[p], n)]

    def filled(self, g: dict[str, Any], n: int) -> list[float]:
        """The contributions to rollout n; a missing one counts as the mean over the group's scored ones."""
        found = []
        for k in range(self.K):
            if math.isnan(g["r"][n][k]):
                known = [x[k] for x, row in zip(g["x"], g["r"], strict=True) if row[k] == row[k]]
                found.append(mean(known) if known else 0.0)
            else:
                found.append(g["x"][n][k])
        return found

    def grpo(self) -> list[float]:
        """GRPO's advantages: raw rewards summed, a missing one counting as its group's mean."""
        found = []
        for g in self.groups:
            totals = []
            for n, row in enumerate(g["r"]):
                total = 0.0
                for k, score in enumerate(row):
                    known = [other[k] for other in g["r"] if not math.isnan(other[k])]
                    total += self.w[k] * (score if not math.isnan(score) else mean(known) if known else 0.0)
                totals.append(total if self.scored(g, n) else math.nan)
            found += [a for a, total in zip(normalised(totals), totals, strict=True) if not math.isnan(total)]
        return found
