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


def r2vpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def dhpo(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def nthr(
    rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str, token_scores: Rows, response_mask: Rows
) -> list[float]:
    """Before the tokens are told apart."""
    return per_group(summed(rewards), ids, normalize(eps(numerics)))


def gspo_token(rewards: Rows, ids: Ids, lengths: Sequence[int], numerics: str) -> list[float]:
    return grpo(rewards, ids, lengths, numerics)
