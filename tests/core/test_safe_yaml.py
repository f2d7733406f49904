"""YAML 1.2, plain, bounded, with places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core import safe_yaml
from concord.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("010", "010"),
        ("0", 0),
        ("-7", -7),
        ("~", None),
        ("", None),
        ("train[:90%]", "train[:90%]"),
        (".inf", float("inf")),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = safe_yaml.read(text)
    assert read == value
    assert type(read) is type(value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<=y", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert safe_yaml.read(safe_yaml.write(value)) == value


def test_a_key_that_stands_twice_is_refused_anywhere() -> None:
    with pytest.raises(ConfigError, match="'b' stands twice, on lines 2 and 4"):
        safe_yaml.read("a:\n  b: 1\n  c: 2\n  b: 3\n")
    with pytest.raises(ConfigError, match="'a' stands twice"):
        safe_yaml.read("{a: 1, a: 1}")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x1f", 31), ("0o17", 15), ("1_0", "1_0"), ("yes", "yes"), ("2026-13-45", "2026-13-45"), ("'1e-5'", "1e-5")],
)
def test_further_scalars(text: str, value: Any) -> None:
    assert safe_yaml.read(text) == value


def test_a_document_that_claims_another_version_is_read_alike() -> None:
    assert safe_yaml.read("%YAML 1.1\n---\na: no\n") == {"a": "no"}


def test_aliases_are_copies_and_merges_are_taken() -> None:
    read = safe_yaml.read("a: &a {x: 1, l: [2]}\nb: {<<: *a, y: 3}\nc: *a")
    assert read == {"a": {"x": 1, "l": [2]}, "b": {"x": 1, "l": [2], "y": 3}, "c": {"x": 1, "l": [2]}}
    read["a"]["l"].append(4)
    assert read["b"]["l"] == read["c"]["l"] == [2]


def bomb(first: str, entry: str, levels: int = 9) -> str:
    lines = [f"b0: &b0 {first}"]
    return "\n".join(lines + [f"b{i}: &b{i} {entry.format(before=f'*b{i - 1}')}" for i in range(1, levels)])


NINE = ",".join(["{before}"] * 9)
HOSTILE = {
    "lists": (bomb("[1,1,1,1,1,1,1,1,1]", f"[{NINE}]"), r"bomb\.yaml:5:14: .*more than 20,000 values"),
    "mappings": (
        bomb("{a: 1}", "{{" + ",".join(f"k{i}: {{before}}" for i in range(9)) + "}}"),
        r"bomb\.yaml:\d+:\d+: .*more than 20,000 values",
    ),
    "merges": (bomb("{a: 1}", f"{{{{<<: [{NINE}]}}}}"), r"bomb\.yaml:\d+:\d+: .*more than 20,000 values"),
    "depth by aliases": (
        bomb("{a: 1}", "{{k: {{k: {{k: {before}}}}}}}", 400),
        r"bomb\.yaml:\d+:\d+: .*more than 50 mappings and lists",
    ),
    "itself in a list": ("&a [*a]", r"bomb\.yaml:1:5: .*within what it stands for"),
    "itself in a mapping": ("x: 1\ny: &a\n  b: *a\n", r"bomb\.yaml:3:6: .*within what it stands for"),
    "brackets": ("[" * 10_000, r"bomb\.yaml:1:51: .*more than 50 mappings and lists"),
    "braces": ("{a: " * 10_000, r"bomb\.yaml:1:\d+: .*more than 50 mappings and lists"),
    "dashes": ("- " * 10_000, r"bomb\.yaml:1:\d+: .*more than 50 mappings and lists"),
    "characters": ("a: " + "x" * 300_000, r"bomb\.yaml: .*more than 262,144 characters"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_document_that_would_take_years_or_all_memory_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        safe_yaml.read(text, "bomb.yaml")


def test_what_is_just_within_the_limits() -> None:
    depth = safe_yaml.DEEPEST - 1
    assert safe_yaml.read("[" * depth + "1" + "]" * depth)
    lines = "a: &a [" + ",".join("1" * 97) + "]\nb: [" + ",".join(["*a"] * 200) + "]"
    assert len(safe_yaml.read(lines)["b"]) == 200  # 5 and 98 and 200 * 98 values
    with pytest.raises(ConfigError, match="more than 20,000 values"):
        safe_yaml.read(lines.replace("b: [", "b: [*a,*a,*a,*a,"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", r"^run\.yaml:1:5: "),
        ("a: 1\nb: [", r"^run\.yaml:2:5: "),
        ("a: 1\na: 2\n", r"^run\.yaml:2:1: .*the key 'a' stands twice, on lines 1 and 2"),
        ("x: {<<: {a: 1}, <<: {b: 1}}", r"^run\.yaml:1:17: "),
        ("a: !!python/name:os.system", r"^run\.yaml:1:4: .*tag .*python/name:os\.system is not one of plain data"),
        ("a: !!timestamp 2026-01-01", "is not one of plain data"),
        ("a: !!binary aGk=", "is not one of plain data"),
        ("a: !!int two", "'two' is not of the type"),
        ("a: " + "9" * 5000, "is not of the type"),
        ("a: 1e400", "1e400 is beyond the numbers of a computer"),
        ("? [a, b]\n: c\n", r"^run\.yaml:1:3: .*a key is one word or text"),
        ("a: *b", "found undefined alias"),
        ("a: 1\n---\nb: 1\n", r"^run\.yaml:2:1: "),
        ("a: \x00", r"^run\.yaml: cannot be read as YAML: "),
        ("\ta: 1", r"^run\.yaml:1:1: "),
    ],
)
def test_a_fault_has_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        safe_yaml.read(text, "run.yaml")


def test_a_fault_does_not_quote_the_value_of_another_key() -> None:
    with pytest.raises(ConfigError) as caught:
        safe_yaml.read("token: abc123\ntoken: def456\n")
    assert "abc123" not in str(caught.value)
    assert "def456" not in str(caught.value)


def test_lines_of_values() -> None:
    document = safe_yaml.read_document(
        "seed: 0\nrewards:\n  a: {path: x}\n  b:\n    weight: {0: 1, 5: 2}\nl:\n- 1\n- 2\n"
    )
    places = [("seed",), ("rewards", "b"), ("rewards", "b", "weight", 5), ("l", 1), ("rewards", "a", "new"), ("none",)]
    assert [document.line(place) for place in places] == [1, 4, 5, 8, 3, None]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00model")
    for path in (tmp_path / "run.yaml", tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="cannot be read as YAML"):
            safe_yaml.read_file(path)
    (tmp_path / "run.yaml").write_bytes("\ufeffa: 1\n".encode())  # as some editors begin a file
    assert safe_yaml.read_file(tmp_path / "run.yaml").value == {"a": 1}
