"""Methods with a loss of their own: what they hand to it. The losses have their own slow loops beside their tests."""

from __future__ import annotations

from collections.abc import Sequence

from tests.methods.oracles import Ids, Rows, centre, eps, grpo, normalize, others, per_group, summed


def gbpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(1e-6))


def real(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(1e-6))


def copg(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, centre)


def p3o(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, others)


def p3o_joint(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, centre)


def r2vpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def r2vpo_dual(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, ratio_variance: Sequence[float]
) -> list[float]:
    return r2vpo(rewards, ids, lengths, numerics)


def dhpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def dhpo_entropy(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def rapo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def rover(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, old_mean_logp: Rows) -> list[float]:
    return per_group(summed(rewards), ids, centre)


def nthr(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, token_scores: Rows, response_mask: Rows
) -> list[float]:
    """Before the tokens are told apart."""
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def thr(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, token_scores: Rows, response_mask: Rows
) -> list[float]:
    return nthr(rewards, ids, lengths, numerics, token_scores, response_mask)


def gspo_token(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return grpo(rewards, ids, lengths, numerics)
