"""The generated half of the documentation: a page a method, the table, the reference, the last look at the site."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks import engines_differ
from scripts.docs import benchmark, commands, docstring, links, method_page, method_table, parts, reference

import concord
from concord.core import safe_yaml
from concord.core.catalogue import Card, builder, info, names
from concord.methods import Method

DOCS = Path(__file__).parents[2] / "docs"
CARD = Card(title="A paper", arxiv="1234.56789", formula="A = r")


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_method_has_a_page_with_every_section(name: str) -> None:
    page = method_page.page(name)
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert headings == list(method_page.SECTIONS)
    for text in re.split(r"^## .*$", page, flags=re.MULTILINE):
        assert len(text.strip()) > 3
    assert info(name).arxiv in page
    assert info(name).formula in page


def test_no_page_shows_what_only_python_reads(name: str) -> None:
    assert not re.search(r":(func|class|meth|mod|data):`|(?<!`)``(?!`)|<object |<function ", method_page.page(name))


def test_a_page_says_every_parameter(name: str) -> None:
    text = docstring.parse(inspect.getdoc(builder(name)) or "")
    assert set(text.arguments) == set(inspect.signature(builder(name)).parameters)


def test_the_configuration_of_a_page_is_the_methods_defaults(name: str) -> None:
    build, page = builder(name), method_page.page(name)
    if isinstance(made := parts.built(build), Method):
        (first, *_) = re.findall(r"^```yaml\n(.*?)```", page, re.DOTALL | re.MULTILINE)
        assert concord.create(**safe_yaml.read(first)["method"]) == made
    elif not parts.needed(build):
        exec(
            re.findall(r"^```python\n(.*?)```", page, re.DOTALL | re.MULTILINE)[-1], names_in_it := {"__name__": "docs"}
        )
        if "args" in names_in_it:
            assert names_in_it["args"].build() == made  # type: ignore[attr-defined]


def test_the_table_and_the_navigation_have_every_method_once() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\(methods/\1\.md\)", method_table.table(), re.MULTILINE)
    assert sorted(rows) == names()
    pages = [path for section in method_table.navigation() for entries in section.values() for path in entries]
    assert sorted(path for entry in pages for path in entry) == names()
    assert method_table.MARK in (DOCS / "methods.md").read_text()


def test_the_reference_has_packages_that_exist() -> None:
    assert all(importlib.util.find_spec(package) for package in reference.PACKAGES)
    assert "::: concord.stages" in reference.pages()["reference/concord.stages.md"]


def test_the_page_of_the_command_line_has_every_command() -> None:
    page = commands.page()
    assert "## concord train\n" in page
    assert "| `--out` |" in page.partition("## concord diagnose\n")[2].partition("\n## ")[0]


def test_a_docstring_is_taken_apart() -> None:
    text = """One line.

        A = r,   B = 2 r

    ``x`` matters.

    Args:
        one, two: both of them,
            on two lines.

    Raises:
        ValueError: never.

    A remark. Source: a paper. Where it differs.
    """
    found = docstring.parse(inspect.cleandoc(text))
    assert found.body == "```text\nA = r,   B = 2 r\n```\n\n`x` matters."
    assert found.arguments == dict.fromkeys(("one", "two"), "both of them, on two lines.")
    assert found.sections == {"Raises": "ValueError: never."}
    assert (found.remarks, found.source) == ("A remark.", "a paper. Where it differs.")


def test_the_examples_of_taking_apart_hold() -> None:
    assert doctest.testmod(docstring).failed == 0


def test_a_docstring_without_sections_keeps_its_source_apart() -> None:
    found = docstring.parse("One line.\n\nWhat it does.\n\nSource: a paper.")
    assert (found.body, found.remarks, found.source) == ("What it does.", "", "a paper.")


ROW = {
    "task": "tools3", "method": "grpo:clip=0.1", "auc": 0.84, "diff": -0.02, "low": -0.03, "high": -0.011, "wins": 0,
    "seeds": 4, "verdict": "open", "kept": 1.0, "joint": 0.34, "equal": None,
}  # fmt: skip


def test_a_method_has_its_rows_of_the_benchmark() -> None:
    record = {"command": "concord bench", "machine": "two cores", "seeds": 4, "rows": [ROW]}
    text = benchmark.section("grpo", CARD, concord.create("grpo"), record)
    assert "| tools3 (grpo:clip=0.1) | 0.840 | -0.020 (-0.030 to -0.011) | 0 of 4 | open | 0.34 | 1.00 |  |" in text
    assert "`concord bench`, two cores, 4 seeds" in text


@pytest.mark.parametrize(
    ("made", "kind", "why"),
    [
        (concord.create("clipo"), "advantage", "learner"),
        (None, "preference", "this is a preference"),
        (concord.create("gdpo"), "advantage", "no run of it is recorded"),
    ],
)
def test_a_method_without_a_row_says_why(made: Any, kind: Any, why: str) -> None:
    card = Card(title="A paper", arxiv="1234.56789", formula="A = r", kind=kind)
    text = benchmark.section("new", card, made, {"rows": []})
    assert text.startswith("Not in the benchmark: ")
    assert why in text


def test_what_is_recorded_of_the_benchmark_can_be_shown() -> None:
    record = benchmark.record()
    for row in record["rows"]:
        assert row["task"] in benchmark.section(row["method"].split(":")[0], CARD, None, record)


def test_dead_links_and_what_comes_from_elsewhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h1 id="here">x</h1>')
    (tmp_path / "page.html").write_text(
        '<a href="other.html#here">fine</a><a href="other.html#gone">x</a><a href="none.html">x</a>'
        '<a href="https://example.org">fine</a><script src="https://example.org/x.js"></script>'
    )
    assert list(links.faults(tmp_path)) == [
        "page.html: loads https://example.org/x.js",
        "page.html: none.html is not there",
        "page.html: other.html#gone has no such place",
    ]


def test_docstrings_are_markdown_in_the_reference() -> None:
    pytest.importorskip("griffe")
    from scripts.docs.roles import converted

    assert converted("``a``, :func:`b`", "m") == '`a`, <autoref optional identifier="m.b"><code>b</code></autoref>'
    tree = "Root\n├── one   first\n└── two   second"
    assert converted(f"A tree.\n\n{tree}", "m") == f"A tree.\n\n```text\n{tree}\n```"


def test_the_page_of_the_engines_has_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    engines_differ.pairs()
    page = (DOCS / "engines_differ.md").read_text()
    _, *table = capsys.readouterr().out.strip().splitlines()
    assert "\n".join(table) in page


@pytest.mark.parametrize("numerics", ["trl", "verl"])
def test_concords_numerics_are_those_of_the_engine(numerics: str) -> None:
    theirs = {"trl": engines_differ.trl, "verl": engines_differ.verl}[numerics]
    rewards, lengths = engines_differ.batch()
    apart = (engines_differ.ours(numerics)(rewards, lengths) - theirs(rewards, lengths)).abs().max()
    assert apart < 2e-6


@pytest.mark.filterwarnings("ignore")
def test_the_formula_of_trl_on_the_page_is_trls_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(engines_differ.__file__.rpartition("/")[0])
    rewards, lengths = engines_differ.batch()
    assert (engines_differ.trl_itself(rewards, lengths) - engines_differ.trl(rewards, lengths)).abs().max() < 1e-6
