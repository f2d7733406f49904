"""Rows for a run: files, columns, limits, and the data that will not do."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

datasets = pytest.importorskip("datasets")

from concord.core.errors import ConfigError  # noqa: E402
from concord.recipes.builtin import TASKS  # noqa: E402
from concord.run.config import RowsConfig  # noqa: E402
from concord.run.data import drop_long, load_rows  # noqa: E402
from tests.data.toolrl import REAL, rows, write_sample  # noqa: E402


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def jsonl(path: Path, entries: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return str(path)


def plain(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"question {n}", "answer": str(n), "level": n} for n in range(count)]


class Words:
    """A tokenizer whose tokens are words, and whose template adds two."""

    chat_template = "words"

    def __call__(self, texts: list[str], add_special_tokens: bool = True) -> dict[str, list[list[str]]]:
        return {"input_ids": [["<s>"] * add_special_tokens + text.split() for text in texts]}

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool, tokenize: bool) -> str:
        assert add_generation_prompt
        assert not tokenize
        return "<s> " + " ".join(message["content"] for message in messages) + " <assistant>"


@pytest.mark.parametrize("source", ["sample", "real"])
def test_toolrls_parquet(source: str, tmp_path: Path) -> None:
    if source == "real" and not REAL.is_file():
        pytest.skip("the real file is not here")
    path = REAL if source == "real" else write_sample(tmp_path / "rlla.parquet", 12)
    loaded = load_rows(RowsConfig(path=str(path), answer="reward_model.ground_truth"))
    assert len(loaded) == (80 if source == "real" else 12)
    assert loaded.column_names == ["prompt", "answer", "data_source", "ability", "reward_model", "extra_info"]
    for row in loaded:
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        assert row["answer"] == row["reward_model"]["ground_truth"]
        assert row["answer"].startswith("<think>")


def test_the_columns_named_take_the_names(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"q": "why", "facts": {"a": {"b": "so"}}, "answer": "old", "n": 1}])
    loaded = load_rows(RowsConfig(path=path, prompt="q", answer="facts.a.b"))
    assert loaded[0] == {"prompt": "why", "answer": "so", "facts": {"a": {"b": "so"}}, "n": 1}


def test_one_column_may_be_both_and_all(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"text": "why"}])
    assert load_rows(RowsConfig(path=path, prompt="text", answer="text"))[0] == {"prompt": "why", "answer": "why"}
    assert load_rows(RowsConfig(path=path, prompt="text", answer=None))[0] == {"prompt": "why"}


def test_json_holds_a_list_of_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(plain(3)))
    assert load_rows(RowsConfig(path=str(tmp_path / "rows.json")))["level"][:] == [0, 1, 2]


def test_size_takes_the_first_rows_and_a_split_may_be_a_slice(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", plain(10))
    assert load_rows(RowsConfig(path=path, size=3))["level"][:] == [0, 1, 2]
    assert load_rows(RowsConfig(path=path, split="train[80%:]"))["level"][:] == [8, 9]


@pytest.mark.parametrize("messages", [False, True])
def test_long_prompts_are_left_out_and_counted(
    messages: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["a b", "a b c d", "a b c", "a b c d e", "a"]
    prompts = [[{"role": "user", "content": text}] for text in texts] if messages else texts
    path = jsonl(tmp_path / "rows.jsonl", [{"prompt": prompt, "answer": "x"} for prompt in prompts])
    limit = 5 if messages else 4
    with caplog.at_level(logging.WARNING):
        loaded = load_rows(RowsConfig(path=path, max_prompt_tokens=limit), Words())  # type: ignore[arg-type]
    assert list(loaded["prompt"]) == [prompts[0], prompts[2], prompts[4]]
    assert f"left out 2 prompts longer than {limit} tokens" in caplog.text
    first, dropped = drop_long(datasets.Dataset.from_dict({"prompt": prompts}), Words(), limit)  # type: ignore[arg-type]
    assert (len(first), dropped) == (3, 2)


def test_long_prompts_go_before_rows_are_counted(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"prompt": "a " * n, "answer": "x"} for n in (9, 1, 9, 2, 3)])
    config = RowsConfig(path=path, max_prompt_tokens=4, size=2)
    assert list(load_rows(config, Words())["prompt"]) == ["a ", "a a "]  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"asked for 4 rows, .* has 3 with prompts of at most 4 tokens"):
        load_rows(config.model_copy(update={"size": 4}), Words())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"asked for all rows, .* has 0 with prompts"):
        load_rows(RowsConfig(path=path, max_prompt_tokens=1), Words())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pass its tokenizer"):
        load_rows(config)


def test_columns_that_trl_passes_itself_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{**plain(1)[0], "completions": "a", "prompts": "b"}])
    assert load_rows(RowsConfig(path=path)).column_names == ["prompt", "answer", "level"]
    assert "left out the columns prompts, completions" in caplog.text


@pytest.mark.parametrize("task", TASKS)
def test_the_built_in_tasks(task: str) -> None:
    config = RowsConfig(path=f"builtin:{task}", size=8)
    train, again = load_rows(config, seed=1), load_rows(config, seed=1)
    assert (len(train), train.column_names) == (8, ["prompt", "answer"])
    assert train.to_list() == again.to_list()
    test = load_rows(config.model_copy(update={"split": "test"}), seed=1)
    assert not {str(row["prompt"]) for row in train} & {str(row["prompt"]) for row in test}


def test_an_answer_within_json_text(tmp_path: Path) -> None:
    rows = [{**row, "about": f'{{"style": "rule", "truth": {{"value": "{i}"}}}}'} for i, row in enumerate(plain(3))]
    path = jsonl(tmp_path / "rows.jsonl", rows)
    assert load_rows(RowsConfig(path=path, answer="about.truth.value"))["answer"] == ["0", "1", "2"]
    with pytest.raises(ConfigError, match=r"no column 'about\.truth\.worth'"):
        load_rows(RowsConfig(path=path, answer="about.truth.worth"))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such column": ({"answer": "anwser"}, "data.answer: .* has no column 'anwser'; did you mean 'answer'.*it has"),
    "an answer that is not there": (
        {"answer": "truth"},
        r"level, prompt; write data\.answer: null where",
    ),
    "no such prompt": ({"prompt": "question"}, "data.prompt: .*no column 'question'; it has answer, level, prompt"),
    "nothing nested": ({"answer": "answer.truth"}, "no column 'answer.truth'"),
    "more than there is": ({"size": 4}, "data.size: asked for 4 rows, .*rows.jsonl has 3"),
    "another split": ({"split": "test"}, "data.split: a file is one split, 'train', and 'test' is not in it"),
    "a bad slice": ({"split": "train[:x]"}, "cannot be loaded"),
    "an answer for a prompt": ({"prompt": "level"}, "data.prompt: row 0 of column 'level' is 0; a prompt is text"),
    "an unknown built-in": ({"path": "builtin:tool_tsak"}, "does not ship; did you mean 'builtin:tool_task'"),
    "endless built-in": ({"path": "builtin:tool_task"}, "data.size: .*say how many"),
    "a split it lacks": ({"path": "builtin:tool_task", "size": 2, "split": "dev"}, "data.split: .*'dev'"),
    "no such data set": ({"path": "nobody/nothing-of-the-kind"}, "nobody/nothing-of-the-kind.*cannot be loaded"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_data_that_will_not_do(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", plain(3))
    with pytest.raises(ConfigError, match=message):
        load_rows(RowsConfig(**{"path": path, **change}))


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", plain(1))
    with pytest.raises(ConfigError, match=r"no file .*trian\.jsonl; did you mean 'train\.jsonl'\?"):
        load_rows(RowsConfig(path=str(tmp_path / "trian.jsonl")))


@pytest.mark.parametrize("content", [b"", b"\n", b"not json\n", b"\x00\xff"])
def test_a_file_that_holds_no_rows(content: bytes, tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.json", "rows.parquet"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=r"data\.path: .*cannot be loaded; has it no rows, or is it broken\?"):
            load_rows(RowsConfig(path=str(tmp_path / name)))


def test_no_rows(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    empty = pyarrow.Table.from_pylist(rows(1)).slice(0, 0)
    pyarrow.parquet.write_table(empty, tmp_path / "rows.parquet")
    with pytest.raises(ConfigError, match=r"cannot be loaded; has it no rows"):
        load_rows(RowsConfig(path=str(tmp_path / "rows.parquet"), answer="reward_model.ground_truth"))
    path = jsonl(tmp_path / "rows.jsonl", plain(3))
    with pytest.raises(ConfigError, match="corresponds to no data"):
        load_rows(RowsConfig(path=path, split="train[3:]"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "why", "answer": None}, "data.answer: row 1 of column 'answer' is empty"),
        ({"prompt": None, "answer": "so"}, "data.prompt: row 1 of column 'prompt' is None"),
        ({"prompt": "", "answer": "so"}, "data.prompt: row 1 of column 'prompt' is ''"),
    ],
)
def test_a_row_with_a_hole_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"prompt": "a", "answer": "b"}, row])
    with pytest.raises(ConfigError, match=message):
        load_rows(RowsConfig(path=path))


def test_messages_without_role_are_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"prompt": [{"from": "user", "value": "a"}], "answer": "b"}])
    with pytest.raises(ConfigError, match="or a list of messages with role and content"):
        load_rows(RowsConfig(path=path))


def test_messages_need_a_chat_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RowsConfig(path=str(write_sample(tmp_path / "rows.parquet")), answer="reward_model.ground_truth")
    assert len(load_rows(config, Words())) == 8  # type: ignore[arg-type]
    monkeypatch.setattr(Words, "chat_template", None)
    for limit in (None, 5):
        with pytest.raises(ConfigError, match="the model's tokenizer has no chat template; take an instruct model"):
            load_rows(config.model_copy(update={"max_prompt_tokens": limit}), Words())  # type: ignore[arg-type]
