"""HeRL: drafts, bonus, replacement."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.strategies import Replacement, herl, revision_prompt

NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "drafts"),
    [
        ([0.2, 0.8, 0.8, 0.1], [1, 2]),
        ([0.2, 1.0, 0.8], []),  # reached
        ([NAN, 0.5], [1]),
        ([NAN, NAN], []),
        ([], []),
        ([0.0] * 20, list(range(16))),
    ],
)
def test_those_tied_for_best_are_revised_unless_the_target_is_reached(scores: list[float], drafts: list[int]) -> None:
    assert herl().drafts(scores) == drafts


def test_a_draft_gets_a_share_of_what_its_best_revision_is_better_or_worse() -> None:
    found = herl(alpha=0.5).shaped([0.2, 0.8, 0.8], {1: [0.1, 1.0], 2: [0.4, NAN], 0: []})
    assert found == pytest.approx([0.2, 0.9, 0.6])


@pytest.mark.parametrize(
    ("scores", "revisions", "taken"),
    [
        ([0.2, 0.8], [0.9, 1.0, 1.0], (1, None)),  # strictly better; the first of the best
        ([0.2, 0.8], [0.1, 0.8], (1, None)),  # as good
        ([0.2, 0.8], [0.7, NAN], (None, 1)),  # none as good: the best member once more
        ([0.2, 0.8], [], (None, 1)),
    ],
)
def test_the_best_revision_takes_a_place_if_it_is_as_good_as_the_best(
    scores: list[float], revisions: list[float], taken: tuple[int | None, int | None]
) -> None:
    for seed in range(4):
        found = herl().replace(scores, revisions, random.Random(seed))
        assert found is not None
        assert found[1:] == taken


def test_every_member_may_be_the_one_that_leaves_and_none_of_a_group_without_scores() -> None:
    rows = {herl().replace([0.1] * 3, [1.0], random.Random(seed)) for seed in range(30)}
    assert rows == {Replacement(row, 0, None) for row in range(3)}
    assert herl().replace([NAN], [1.0], random.Random(0)) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.lists(st.floats(0, 1), max_size=8))
def test_the_best_of_a_group_never_falls_but_by_the_draw(scores: list[float], revisions: list[float]) -> None:
    found = herl().replace(scores, revisions, random.Random(0))
    assert found is not None
    gained = revisions[found.revision] if found.revision is not None else scores[found.copy or 0]
    assert gained >= max(scores)


def test_the_prompt_of_a_revision_shows_what_is_met_and_what_is_not() -> None:
    prompt = revision_prompt("Write.", "A {draft}.", [], ["is short", "rhymes"])
    assert [prompt.index(part) for part in ("Write.", "A {draft}.", "none", "- is short\n- rhymes")] == sorted(
        prompt.index(part) for part in ("Write.", "A {draft}.", "none", "- is short\n- rhymes")
    )


@pytest.mark.parametrize("wrong", [{"alpha": 1.1}, {"alpha": NAN}, {"most": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        herl(**wrong)  # type: ignore[arg-type]
