"""Preference data in every form comes out as the same pairs, and what cannot be used is counted or named."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import ConfigError
from concord.reward_models.config import SourceConfig
from concord.reward_models.forms import FORMS, detect, read_pairs
from concord.reward_models.pairs import Pair
from concord.reward_models.read import load_pairs
from tests.data import preferences as made

SAMPLES: dict[str, tuple[str, Callable[..., made.Rows]]] = {
    "text": ("preference", made.text_pairs),
    "conversations": ("preference", made.conversations),
    "hh": ("hh", made.hh),
    "pandalm": ("pandalm", made.pandalm),
    "llmbar": ("llmbar", made.llmbar),
    "rm_bench": ("rm_bench", made.rm_bench),
}


def source(path: Path | str, **changes: Any) -> SourceConfig:
    return SourceConfig(path=str(path), **changes)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_form_is_told_by_the_columns(sample: str) -> None:
    form, rows = SAMPLES[sample]
    assert detect(rows()[0]) == form
    assert read_pairs(rows()) == read_pairs(rows(), form)


def test_every_form_has_a_sample() -> None:
    assert {form for form, _ in SAMPLES.values()} == FORMS.keys()


@pytest.mark.parametrize("sample", ["text", "conversations", "hh", "llmbar"])
def test_the_same_answers_come_out_of_every_form(sample: str) -> None:
    want = [made.answers(index) for index in range(8)]
    assert [(pair.chosen, pair.rejected) for pair in read_pairs(SAMPLES[sample][1]()).pairs] == want


def test_prompts_are_messages_where_they_can_be() -> None:
    question = {"role": "user", "content": "Which sea is north of Crete?"}
    first = {name: read_pairs(rows()).pairs[0].prompt for name, (_, rows) in SAMPLES.items()}
    assert first["text"] == question["content"]
    assert first["conversations"] == first["llmbar"] == first["rm_bench"] == [question]
    assert first["pandalm"] == [{"role": "user", "content": "Which sea is north of Crete?\n\nBe brief."}]
    assert [message["role"] for message in first["hh"]] == ["user", "assistant", "user"]  # type: ignore[index]
    assert read_pairs(made.hh()).pairs[0].question == "Hello\n\nHello!\n\nWhich sea is north of Crete?"


def test_votes_decide_and_ties_are_left_out() -> None:
    found = read_pairs(made.pandalm())
    assert found.left_out == {"ties": 1}
    assert found.pairs[1].chosen == made.answers(1)[0]
    assert found.pairs[6].rejected == "True"  # JSON's true, which PandaLM has where a model wrote True

    def votes(*values: int) -> made.Rows:
        return [
            {"instruction": "a", "response1": "b", "response2": "c"}
            | {f"annotator{i}": v for i, v in enumerate(values)}
        ]

    assert read_pairs(votes(1, 1, 2)).pairs[0].chosen == "b"
    assert read_pairs(votes(0, 2, 2)).pairs[0].chosen == "c"
    for tied in ((0, 1, 2), (0, 0, 1), (1, 2)):
        with pytest.raises(ConfigError, match="none of 1 rows holds a preference: 1 ties"):
            read_pairs(votes(*tied))


def test_styles_are_paired_all_with_all() -> None:
    pairs = read_pairs(made.rm_bench(1)).pairs
    assert [pair.styles for pair in pairs] == [(i, j) for i in range(3) for j in range(3)]
    assert pairs[5].rejected.startswith("**")


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        ({"chosen": "a", "rejected": "b"}, Pair("", "a", "b")),
        ({"chosen": "a", "rejected": ""}, Pair("", "a", "")),  # an empty answer is an answer
        ({"prompt": None, "chosen": "a", "rejected": "b"}, Pair("", "a", "b")),
        (
            {"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}],
             "rejected": [{"role": "assistant", "content": "b"}]},
            Pair([{"role": "user", "content": "q"}], "a", "b"),
        ),
        (
            {"prompt": "q", "chosen": [{"role": "assistant", "content": "a"}],
             "rejected": [{"role": "assistant", "content": "b"}]},
            Pair([{"role": "user", "content": "q"}], "a", "b"),
        ),
    ],
)  # fmt: skip
def test_the_hubs_forms(row: dict[str, Any], pair: Pair) -> None:
    assert read_pairs([row]).pairs == (pair,)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"chosen": "a", "rejected": "a"}, "equal answers"),
        ({"chosen": " a\n", "rejected": "a"}, "equal answers"),
        ({"chosen": "", "rejected": " "}, "equal answers"),
        (
            {
                side: [{"role": "user", "content": side}, {"role": "assistant", "content": side}]
                for side in ("chosen", "rejected")
            },
            "different prompts",
        ),
    ],
)
def test_rows_without_a_preference_are_counted_with_their_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: dict[str, Any], reason: str
) -> None:
    file = made.write(tmp_path / "pairs.jsonl", [{"chosen": "a", "rejected": "b"}, bad])
    with caplog.at_level(logging.WARNING):
        assert len(load_pairs("mine", source(file))) == 1
    assert caplog.messages == [f"mine: left out 1 of 2 rows: {reason}"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": None, "rejected": "b"}, "'chosen' is None, neither text nor messages"),
        ({"chosen": [], "rejected": "b"}, r"'chosen' is \[\], neither text nor messages"),
        ({"chosen": [{"role": "user", "content": "a"}], "rejected": "b"}, "ends with a message of the user"),
        ({"chosen": [{"text": "a"}], "rejected": "b"}, "neither text nor messages with role and content"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "'prompt' is 3, neither text nor messages"),
        ({"input": "q", "output_1": "a", "output_2": "b", "label": 3}, "'label' is 3, not 1 or 2"),
        ({"input": "q", "output_1": None, "output_2": "b", "label": 1}, "'output_1' is None, not text"),
        ({"instruction": "q", "response1": "a", "response2": "b", "annotator1": 5}, r"votes are \['5'\]"),
        ({"instruction": "q", "response1": "a", "response2": "b"}, r"votes are \[\]"),
        ({"prompt": "q", "chosen": ["a", "b"], "rejected": ["c"]}, "'rejected' must be a list of two"),
        ({"prompt": "q", "chosen": ["a", "b"], "rejected": ["c", "d", "e"]}, "has 2 styles and 'rejected' 3"),
        ({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"}, "is no dialogue"),
        ({"question": "q", "good": "a"}, "no form has the columns question, good; rename them"),
    ],
)
def test_a_broken_row_is_named_by_its_number(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_pairs([row])
    file = made.write(tmp_path / "pairs.jsonl", [row])
    with pytest.raises(ConfigError, match=f"^mine: {re.escape(str(file))}: "):
        load_pairs("mine", source(file))


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_files(tmp_path: Path, suffix: str) -> None:
    rows = made.conversations(10)
    file = made.write(tmp_path / f"pairs{suffix}", rows)
    whole = read_pairs(rows).pairs
    assert load_pairs("mine", source(file)).pairs == whole
    assert load_pairs("mine", source(file, size=3)).pairs == whole[:3]
    assert load_pairs("mine", source(file, split="train[:80%]")).pairs == whole[:8]
    assert load_pairs("mine", source(file, split="train[80%:]")).pairs == whole[8:]
    assert load_pairs("mine", source(file, split="train[2:5]", size=2)).pairs == whole[2:4]


def test_columns_can_be_renamed(tmp_path: Path) -> None:
    file = made.write(tmp_path / "pairs.jsonl", [{"question": "q", "good": "a", "bad": "b"}])
    columns = {"question": "prompt", "good": "chosen", "bad": "rejected"}
    assert load_pairs("mine", source(file, columns=columns)).pairs == (Pair("q", "a", "b"),)


@pytest.mark.parametrize(
    ("name", "content", "changes", "message"),
    [
        ("pairs.jsonl", '{"chosen": "a"', {}, "is not JSON"),
        ("pairs.json", "[1]", {}, "row 0 is 1, not an object"),
        ("pairs.json", "[" * 100_000, {}, "is not JSON"),
        ("pairs.parquet", "no", {}, "is not parquet"),
        ("pairs.jsonl", "", {}, "there are no rows"),
        ("pairs.jsonl", '{"chosen": "a", "rejected": "b"}', {"split": "test"}, "a file is one split, 'train'"),
        ("pairs.jsonl", '{"chosen": "a", "rejected": "b"}', {"split": "train[1:]"}, "there are no rows"),
        ("pairs.jsonl", '{"chosen": "a", "rejected": "b"}', {"form": "hhh"}, "no form 'hhh'; did you mean 'hh'?"),
        ("other.jsonl", "", {"path": "others.jsonl"}, "no such file; did you mean 'other.jsonl'?"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: str, changes: dict[str, Any], message: str) -> None:
    (tmp_path / name).write_text(content)
    found = source(
        **{"path": tmp_path / name} | changes | ({"path": tmp_path / "others.jsonl"} if "path" in changes else {})
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_pairs("mine", found)


def test_the_real_files_or_samples_of_their_form(tmp_path: Path) -> None:
    for form, file in made.files(tmp_path).items():
        found = load_pairs(form, source(file))
        assert len(found) >= 7
        assert all(pair.chosen.strip() != pair.rejected.strip() for pair in found.pairs)
        if file.is_relative_to(made.REAL):  # what the data's own description counts
            longer = sum(pair.longer > 0 for pair in found.pairs) / len(found)
            assert longer == pytest.approx({"pandalm": 0.65, "hh": 0.43, "llmbar": 0.15}[form], abs=0.04)
