"""The built-in task: its splits, its rewards, and the demonstrations the base model learnt from."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.recipes.tool_task import conciseness, correctness, exact, format, rows
from concord.recipes.tool_task.demonstrations import LONG, MEDIUM, SHORT, clean, noisy
from concord.recipes.tool_task.requests import Call, response, sample_request
from concord.recipes.tool_task.vocabulary import TOOLS, VALUES

MEETING = Call("meeting", {"person": "Anna", "day": "Monday"})
HOTEL = Call("hotel", {"city": "Oslo", "nights": 3})
ANSWER = response("use meeting", [MEETING])


def asked(split: str, size: int, seed: int = 0) -> set[str]:
    """The requests in words, those for two things taken apart."""
    contents = [row["prompt"][0]["content"] for row in rows(split, size, seed)]  # type: ignore[arg-type]
    return {part for content in contents for part in content.split("\n")[1].split(" and ")}


class TestRows:
    def test_the_same_seed_gives_the_same_rows_and_a_longer_list_starts_with_the_shorter(self) -> None:
        assert rows("train", 20, seed=3) == rows("train", 50, seed=3)[:20]
        assert rows("train", 20, seed=3) != rows("train", 20, seed=4)

    def test_no_request_is_in_both_splits(self) -> None:
        train, test = asked("train", 4000), asked("test", 4000) | asked("test", 1000, seed=7)
        assert not train & test
        assert len(train) > len(test) > 500

    def test_every_tool_and_value_can_be_met_in_training(self) -> None:
        words = " ".join(asked("train", 4000)).split()
        assert {str(value) for kind in VALUES.values() for value in kind} <= set(words)
        assert {call["name"] for row in rows("train", 200) for call in calls(row)} == {tool.name for tool in TOOLS}

    def test_a_call_fills_exactly_the_parameters_that_the_prompt_lists(self) -> None:
        for row in rows("test", 300):
            listing = row["prompt"][0]["content"].split("\n")[0].split(" ")
            assert 1 <= len(listing) <= 3
            for call in calls(row):
                assert f"{call['name']}({','.join(call['parameters'])})" in listing

    def test_some_requests_ask_for_two_things(self) -> None:
        counts = [len(calls(row)) for row in rows("train", 1000)]
        assert set(counts) == {1, 2}
        assert 0.1 < counts.count(2) / 1000 < 0.2

    def test_its_own_answers_get_full_marks(self) -> None:
        answers = [row["answer"] for row in rows("train", 200)]
        assert set(correctness(answers, answers)) == {3.0}
        assert set(format(answers, answers)) == set(exact(answers, answers)) == set(conciseness(answers)) == {1.0}

    def test_no_rows(self) -> None:
        assert rows("test", 0) == []

    def test_an_unknown_split_says_which_there_are(self) -> None:
        with pytest.raises(ValueError, match='"train" and "test", not \'dev\''):
            rows("dev", 3)  # type: ignore[arg-type]

    def test_a_negative_size_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="cannot be negative: -1"):
            rows("test", -1)


def calls(row: dict[str, str]) -> list[dict[str, object]]:
    block = row["answer"].split("<tool_call>\n")[1].split("\n</tool_call>")[0]
    return [json.loads(line) for line in block.split("\n")]


class TestCorrectness:
    """S_max of ANSWER is 1 + 1 + 2 parameters = 4; correctness is 6 S / 4 - 3."""

    def score(self, *predicted: Call) -> float:
        return correctness([response("hm", predicted)], [ANSWER])[0]

    def test_a_forgotten_argument(self) -> None:
        """S = 1 for the name + J = 1/2 for the parameter names + 1 value = 2.5."""
        assert self.score(Call("meeting", {"person": "Anna"})) == pytest.approx(0.75)

    def test_a_wrong_value(self) -> None:
        """S = 1 + 1 + 1 value of two = 3."""
        assert self.score(Call("meeting", {"person": "Ben", "day": "Monday"})) == pytest.approx(1.5)

    def test_another_tool(self) -> None:
        """S = 0."""
        assert self.score(Call("reminder", MEETING.arguments)) == -3

    def test_one_call_too_many(self) -> None:
        """S = 1/2 for the names + 1 + 2 values = 3.5."""
        assert self.score(MEETING, HOTEL) == pytest.approx(2.25)


class TestExact:
    def test_order_of_calls_and_arguments_and_the_form_around_play_no_part(self) -> None:
        answer = response("", [MEETING, HOTEL])
        turned = Call("meeting", dict(reversed(MEETING.arguments.items())))
        without_thinking = response("", [HOTEL, turned]).replace("<think></think>\n", "")
        assert exact([without_thinking], [answer]) == [1.0]
        assert format([without_thinking], [answer]) == [0.0]

    @pytest.mark.parametrize("predicted", [(MEETING,), (MEETING, MEETING), (MEETING, HOTEL, HOTEL)])
    def test_a_call_missing_or_too_many_is_not_exact(self, predicted: tuple[Call, ...]) -> None:
        assert exact([response("", predicted)], [response("", [MEETING, HOTEL])]) == [0.0]

    def test_a_number_is_not_its_digits(self) -> None:
        digits = Call("hotel", {"city": "Oslo", "nights": "3"})
        assert exact([response("", [digits])], [response("", [HOTEL])]) == [0.0]


class TestConciseness:
    @pytest.mark.parametrize(
        ("words", "expected"), [(0, 1.0), (4, 1.0), (5, 15 / 16), (12, 0.5), (19, 1 / 16), (20, 0.0), (999, 0.0)]
    )
    def test_one_up_to_4_words_then_falling_to_zero_at_20(self, words: int, expected: float) -> None:
        assert conciseness([f"<think>{'hm ' * words}</think>"]) == [expected]

    @pytest.mark.parametrize("text", ["", "<think>hm", "hm</think>", "</think><think>"])
    def test_zero_without_a_think_pair(self, text: str) -> None:
        assert conciseness([text]) == [0.0]

    def test_only_the_first_pair_counts(self) -> None:
        assert conciseness(["<think>" + "hm " * 12 + "</think> <think></think>"]) == [0.5]


class TestAnyText:
    @pytest.mark.parametrize("reward", [correctness, format, exact])
    def test_messages_score_as_their_text(self, reward) -> None:  # type: ignore[no-untyped-def]
        texts = [ANSWER, response("hm", [HOTEL]), "nothing"]
        messages = [[{"role": "assistant", "content": text}] for text in texts]
        answers = [ANSWER] * len(texts)
        assert reward(messages, answer=answers, prompts=texts) == reward(texts, answers)
        assert conciseness(messages, prompts=texts) == conciseness(texts)

    @given(
        st.lists(
            st.one_of(
                st.text(max_size=40),
                st.sampled_from(["<think>", "</think>", "\n<tool_call>\n", "\n</tool_call>", str(HOTEL), "\n"]),
                st.recursive(st.none() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5).map(json.dumps),
            ),
            max_size=8,
        ).map("".join)
    )
    def test_stays_in_range(self, text: str) -> None:
        self.in_range(text)

    @pytest.mark.parametrize(
        "line",
        [
            "[" * 100_000,
            '{"name": "meeting", "parameters": ' * 20_000,
            '{"name": "meeting", "parameters": {"day": NaN, "person": -Infinity}}',
            '{"name": "meeting", "parameters": {"day": ' + "9" * 10_000 + "}}",
            '{"name": "meeting", "parameters": {"day": 1e999}}',
            '{"name": ["meeting"], "parameters": {}}',
            '{"name": "meeting", "parameters": [["day", "Monday"]]}',
            "\0\ufffd\x7f\u202e" * 100,
            "\ud800",
            "x" * 1_000_000,
        ],
        ids=["deep", "deep calls", "nan", "long number", "infinite", "name", "list", "binary", "surrogate", "huge"],
    )
    def test_hostile_calls_stay_in_range_and_are_not_exact(self, line: str) -> None:
        text = f"<think></think>\n<tool_call>\n{line}\n</tool_call>"
        self.in_range(text)
        assert exact([text], [ANSWER]) == [0.0]

    def in_range(self, text: str) -> None:
        assert -3 <= correctness([text], [ANSWER])[0] <= 3
        assert format([text], [ANSWER])[0] in (0, 1)
        assert 0 <= conciseness([text])[0] <= 1


class TestDemonstrations:
    def test_clean_ones_are_right_and_well_formed(self) -> None:
        rng = random.Random(0)
        for _ in range(300):
            request = sample_request(rng, "train")
            text, answer = clean(request, rng), response("", request.calls)
            assert exact([text], [answer]) == format([text], [answer]) == [1.0]

    def test_noisy_ones_are_more_often_right_after_longer_thinking(self) -> None:
        """Counted on text whose form is whole, as the share stated for each way to think."""
        rng = random.Random(0)
        right: dict[float, list[float]] = {}
        for _ in range(6000):
            request = sample_request(rng, "train")
            text, answer = noisy(request, rng), response("", request.calls)
            if format([text], [answer]) == [1.0]:
                words = len(text.split("</think>")[0].split())
                style = SHORT if words <= 4 else MEDIUM if words <= 13 else LONG
                right.setdefault(style.right, []).extend(exact([text], [answer]))
        assert set(right) == {SHORT.right, MEDIUM.right, LONG.right}
        for share, found in right.items():
            assert sum(found) / len(found) == pytest.approx(share, abs=0.05)

    def test_a_good_third_of_the_noisy_ones_break_the_form(self) -> None:
        rng = random.Random(0)
        requests = [sample_request(rng, "train") for _ in range(3000)]
        whole = [format([noisy(r, rng)], [response("", r.calls)])[0] for r in requests]
        assert 0.55 < sum(whole) / len(whole) < 0.7
