"""The arithmetic task: its splits, its rewards, its demonstrations, and the base models that ship."""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from concord.recipes.arithmetic_task import base_model_path, correct, format, rows, sound
from concord.recipes.arithmetic_task.demonstrations import GUESS_RIGHT, WAYS, clean, noisy
from concord.recipes.arithmetic_task.problems import LONG, SHORT, Problem, Step, derive, response, sample_problem
from concord.recipes.builtin import TASKS, builtin_task

transformers = pytest.importorskip("transformers")

PROBLEM = Problem((8, 5, -3, 9))
ANSWER = response(derive(PROBLEM.terms), 19)


def sums(split: str, size: int, seed: int = 0) -> list[tuple[int, ...]]:
    """The terms of each row's sum, in order of size."""
    texts = [row["prompt"][0]["content"].replace("- ", "-").replace("+ ", "") for row in rows(split, size, seed)]
    return [tuple(sorted(map(int, text.split()))) for text in texts]


class TestRows:
    def test_the_same_seed_gives_the_same_rows_and_a_longer_list_starts_with_the_shorter(self) -> None:
        assert rows("train", 20, seed=3) == rows("train", 50, seed=3)[:20]
        assert rows("train", 20, seed=3) != rows("train", 20, seed=4)

    def test_no_sum_is_in_two_splits_not_even_in_another_order(self) -> None:
        train, test = set(sums("train", 4000)), set(sums("test", 4000)) | set(sums("test", 1000, seed=7))
        assert not train & test
        assert len(train) > len(test) > 300

    @pytest.mark.parametrize(("split", "sizes"), [("train", SHORT), ("test", SHORT), ("hard", LONG)])
    def test_sizes_by_split(self, split: str, sizes: tuple[int, ...]) -> None:
        assert {len(terms) for terms in sums(split, 200)} == set(sizes)

    def test_no_total_on_the_way_leaves_what_a_token_can_say(self) -> None:
        rng = random.Random(0)
        for _ in range(500):
            problem = sample_problem(rng, LONG, held_out=True)
            for way in WAYS:
                assert all(0 <= step.result < 100 for step in derive(way.order(problem.terms)))

    def test_its_own_answers_get_full_marks(self) -> None:
        for split in ("train", "hard"):
            answers = [row["answer"] for row in rows(split, 100)]
            assert set(correct(answers, answers)) == set(format(answers)) == set(sound(answers, answers)) == {1.0}

    def test_an_unknown_split_says_which_there_are(self) -> None:
        with pytest.raises(ValueError, match='splits "train", "test", "hard", not \'dev\''):
            rows("dev", 3)

    def test_a_negative_size_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="cannot be negative: -1"):
            rows("test", -1)


class TestRewards:
    @pytest.mark.parametrize(
        ("text", "right", "formed", "leads"),
        [
            (ANSWER, 1, 1, 1),
            ("8 - 3 = 5\n5 + 9 = 14\n14 + 5 = 19\nanswer 19", 1, 1, 1),
            ("answer 19", 1, 0, 0),
            ("8 + 5 = 13\n13 - 3 = 10\n10 + 9 = 18\nanswer 19", 1, 1, 0),  # a wrong step, mended
            ("8 + 5 = 13\n13 - 3 = 10\n10 + 9 = 19\nanswer 18", 0, 1, 0),
            ("8 + 5 = 13\n12 - 3 = 9\n10 + 9 = 19\nanswer 19", 1, 1, 0),  # a chain that is broken
            ("8 + 5 = 13\n13 + 6 = 19\nanswer 19", 1, 1, 0),  # other terms
            ("8 + 5 = 13\n13 - 3 = 10\nanswer 10", 0, 1, 0),  # a term forgotten
            (ANSWER + "\n", 0, 0, 0),
            ("so\n" + ANSWER, 1, 0, 0),
            ("8 + 5 = 13", 0, 0, 0),
            ("", 0, 0, 0),
            ("answer 0019", 1, 0, 0),
        ],
    )
    def test_what_each_sees(self, text: str, right: float, formed: float, leads: float) -> None:
        assert (correct([text], [ANSWER]), format([text]), sound([text], [ANSWER])) == ([right], [formed], [leads])

    def test_every_order_that_begins_with_a_positive_term_is_sound(self) -> None:
        texts = [response(derive(order), 19) for order in permutations(PROBLEM.terms) if order[0] > 0]
        assert len(set(texts)) == 18
        assert sound(texts, [ANSWER] * 18) == [1.0] * 18

    def test_messages_score_as_their_text(self) -> None:
        messages = [[{"role": "assistant", "content": text}] for text in (ANSWER, "nothing")]
        assert correct(messages, answer=[ANSWER] * 2, prompts=["p"] * 2) == [1.0, 0.0]
        assert format(messages, answer=[ANSWER] * 2) == sound(messages, [ANSWER] * 2) == [1.0, 0.0]

    @given(
        st.lists(
            st.one_of(st.text(max_size=20), st.sampled_from(["\n", "8 + 5 = 13\n", "answer 19", "13 - ", "9" * 5000])),
            max_size=8,
        ).map("".join)
    )
    def test_any_text_is_scored_and_what_is_sound_is_correct_and_formed(self, text: str) -> None:
        found = correct([text], [ANSWER]) + format([text]) + sound([text], [ANSWER])
        assert set(found) <= {0.0, 1.0}
        assert found[2] <= min(found[:2])

    @pytest.mark.parametrize(
        "text",
        ["1 + 1 = 2\n" * 20_000, "answer " + "9" * 10**6, "\ud800\0", "\u0663 + \u0664 = \u0667\nanswer \u0661\u0669"],
    )
    def test_hostile_text_is_wrong(self, text: str) -> None:
        assert correct([text], [ANSWER]) == sound([text], [ANSWER]) == [0.0]

    def test_an_answer_that_cannot_be_read_is_nobodys(self) -> None:
        assert correct(["nothing"], ["nothing"]) == sound([""], [""]) == [0.0]


class TestDemonstrations:
    def test_clean_ones_are_sound_and_of_several_kinds(self) -> None:
        rng = random.Random(0)
        problems = [sample_problem(rng, SHORT, held_out=False) for _ in range(200)]
        answers = [response(derive(problem.terms), problem.result) for problem in problems]
        assert sound([clean(problem, rng) for problem in problems], answers) == [1.0] * 200
        assert len({clean(Problem((2, -1, 8, 1)), rng) for _ in range(60)}) == 3

    def test_noisy_ones_are_right_in_under_a_half_and_sound_less_often(self) -> None:
        rng = random.Random(0)
        problems = [sample_problem(rng, SHORT, held_out=False) for _ in range(4000)]
        answers = [response(derive(problem.terms), problem.result) for problem in problems]
        texts = [noisy(problem, rng) for problem in problems]
        right, leads = (sum(found) / 4000 for found in (correct(texts, answers), sound(texts, answers)))
        assert 0.35 < leads + 0.05 < right < 0.5
        guessed = 1 - sum(way.share for way in WAYS)
        assert sum(format(texts)) / 4000 == pytest.approx(1 - guessed, abs=0.03)
        guesses = [r for r, formed in zip(correct(texts, answers), format(texts), strict=True) if not formed]
        assert sum(guesses) / len(guesses) == pytest.approx(GUESS_RIGHT, abs=0.05)

    def test_no_step_of_theirs_is_below_zero(self) -> None:
        rng = random.Random(1)
        texts = [noisy(sample_problem(rng, LONG, held_out=False), rng) for _ in range(2000)]
        assert not any("= -" in text or "answer -" in text for text in texts)

    def test_a_forgotten_ten_is_carried_on(self) -> None:
        """8 + 5 = 3, in the first step that passes a ten, where nothing falls below zero after it."""
        rng = random.Random(0)
        slips = {text for text in (noisy(Problem((8, 5, 9)), rng) for _ in range(300)) if "8 + 5 = 3" in text}
        assert slips >= {response([Step(8, 5, 3), Step(3, 9, 12)], answer) for answer in (12, 22)}


@pytest.fixture(scope="module", params=(0, 1))
def policy(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A base model that ships, and its tokenizer."""
    path = base_model_path(request.param)
    model = transformers.AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)


class TestBaseModels:
    def test_a_seed_that_does_not_ship_is_an_error_that_names_those_that_do(self) -> None:
        with pytest.raises(ValueError, match="no base model with seed 9; these seeds ship: 0, 1"):
            base_model_path(9)

    def test_they_are_small_and_nothing_in_them_is_code_or_a_pickle(self) -> None:
        files = [file for file in base_model_path(0).parent.rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) < 1_100_000
        assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}

    def test_every_number_below_100_is_one_token(self, policy: tuple[Any, Any]) -> None:
        model, tokenizer = policy
        assert model.num_parameters() < 150_000
        assert len({tuple(tokenizer.encode(str(number))) for number in range(100)}) == 100
        assert all(len(tokenizer.encode(f"{number} + 1")) == 3 for number in range(100))
        for text in (ANSWER, "any Größe\n\t漢字 1000"):
            assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text

    def test_there_is_room_and_most_groups_hold_both_right_and_wrong(self, policy: tuple[Any, Any]) -> None:
        model, tokenizer = policy
        torch.manual_seed(0)
        chosen = [row for row in rows("train", 16) for _ in range(16)]
        texts = [tokenizer.apply_chat_template(r["prompt"], tokenize=False, add_generation_prompt=True) for r in chosen]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        tokens = model.generate(**inputs, max_new_tokens=48, do_sample=True, temperature=1.0, top_k=0)
        said = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        scores = torch.tensor(correct(said, [row["answer"] for row in chosen])).view(16, 16).mean(1)
        assert 0.2 <= scores.mean() <= 0.5
        assert ((scores > 1 / 16) & (scores < 1)).float().mean() >= 0.75


def test_the_recipe_runs_and_its_dump_tells_of_the_learner(tmp_path: Path) -> None:
    from concord.dumps import open_dump
    from concord.report import analyse
    from concord.run.config import load_config
    from concord.run.train import train

    words = ["data.eval=null", "method.warmup=1", "engine.max_steps=2", "engine.per_device_train_batch_size=32"]
    done = train(load_config("arithmetic", [*words, f"out={tmp_path / 'run'}"]), console=Console(quiet=True))
    analysis = analyse(open_dump(done.folder / "rollouts"))
    metrics = {metric.name: metric.mean for metric in analysis.learner}
    assert set(metrics) == {
        "loss",
        "anchors",
        "groups",
        "positive_similarity",
        "negative_similarity",
        "bonus",
        "floored",
    }
    dumped = pd.concat(pd.read_parquet(path) for path in sorted((done.folder / "rollouts").glob("*.parquet")))
    assert metrics["loss"] == pytest.approx(dumped.groupby("step")["column/contrastive_loss"].mean().mean(), rel=1e-5)
    assert metrics["anchors"] == pytest.approx(dumped["column/contrastive_loss"].notna().mean())
    assert -0.5 <= metrics["bonus"] < 0


@pytest.mark.parametrize("task", TASKS)
def test_what_ships_as_a_task_is_one(task: str) -> None:
    found = builtin_task(task)
    assert (found.base_model_path(0) / "model.safetensors").is_file()
    assert found.rows("test", 2, 5) == found.rows("test", 3, 5)[:2]
