"""SPARK: what becomes of scored groups."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from concord.core.errors import BatchError, ConfigError
from concord.strategies import Item, Solved, spark


def group(correct: list[bool], readable: list[bool] | None = None, name: str = "") -> Solved:
    readable = [True] * len(correct) if readable is None else readable
    answers = [
        f"{'right' if c else 'wrong'}{i}" if r else None for i, (c, r) in enumerate(zip(correct, readable, strict=True))
    ]
    return Solved(f"question{name}", f"truth{name}", [f"because {a}" for a in answers], answers, correct)


def items(groups: list[Solved], seed: int = 0, **parameters: float) -> list[Item]:
    return spark(**parameters).recycle(groups, random.Random(seed))  # type: ignore[arg-type]


def test_a_group_that_is_all_right_is_judged_once_and_not_mended() -> None:
    (item,) = items([group([True] * 3, [False, True, True])])
    assert (item.kind, item.answer) == ("pointwise", "right")
    assert "right1" in item.prompt


def test_a_group_that_is_all_wrong_is_judged_wrong_and_mended() -> None:
    for seed in range(8):
        judged, mended = items([group([False] * 3, [True, False, True])], seed)
        assert (judged.kind, judged.answer) == ("pointwise", "wrong")
        assert "None" not in judged.prompt
        assert (mended.kind, mended.answer) == ("reflection", "truth")


def test_the_label_of_a_pair_is_the_slot_of_the_right_answer() -> None:
    slots = Counter()  # type: ignore[var-annotated]
    for seed in range(40):
        judged = items([group([True, False, False])], seed, pointwise=0.0)[0]
        assert judged.kind == "pairwise"
        assert f"{judged.answer}: right0" in judged.prompt
        slots[judged.answer] += 1
    assert min(slots["A"], slots["B"]) > 8


def test_three_in_ten_mixed_groups_are_judged_one_answer_at_a_time() -> None:
    found = Counter((item.kind, item.answer in "AB") for item in items([group([True, False])] * 2000, most=10**6))
    share = found["pointwise", False] / 2000
    assert share == pytest.approx(0.3, abs=0.04)
    assert found["pairwise", True] == 2000 - found["pointwise", False]


def test_the_first_half_mends_whole_responses_and_the_second_readable_answers() -> None:
    unread = group([False], [False])
    found = [item for item in items([unread, group([False]), group([False]), unread]) if item.kind == "reflection"]
    assert [("because" in item.prompt) for item in found] == [True, True, False]


def test_without_a_readable_answer_nothing_is_judged() -> None:
    assert items([group([True], [False]), group([True, False], [True, False])]) == []
    assert items([]) == []


@pytest.mark.parametrize("most", [1, 32])
def test_there_are_at_most_so_many_of_each(most: int) -> None:
    groups = [group([True, False], name=str(i)) for i in range(64)]
    found = items(groups, most=most)
    assert Counter(item.kind == "reflection" for item in found) == {True: most, False: most}
    assert len({item.prompt for item in found}) == 2 * most
    assert items(groups, most=most) == found


def test_wrong_parts_are_refused() -> None:
    with pytest.raises(BatchError, match=r"\(1, 1, 2\)"):
        Solved("q", "t", ["y"], ["a"], [True, False])
    for wrong in ({"pointwise": 1.5}, {"most": 0}):
        with pytest.raises(ConfigError):
            spark(**wrong)  # type: ignore[arg-type]
