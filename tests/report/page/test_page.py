"""The file: its numbers, its order, what it asks of the network (nothing), what hostile text does to it (nothing)."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import sys
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest

from concord.core.errors import ConfigError, MissingExtra
from concord.report import Analysis, analyse
from concord.report.page import LIMIT, write_page
from concord.report.page.render import DETAILS, SECTIONS
from tests.report.fake import FakeDump, group
from tests.report.page import hostile, simulated
from tests.report.page.reading import Read, read
from tests.report.slow import Slow

CLOSE = {"rel": 1e-8, "abs": 1e-9}


@pytest.fixture(scope="module")
def page(one: Path) -> Read:
    return read(one)


@pytest.fixture(scope="module")
def slow() -> Slow:
    return Slow(simulated.run().rows, simulated.REWARDS, {})


def test_the_nine_sections_stand_in_order(page: Read) -> None:
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert ids == [f"a0-s{n}" for n in range(1, 10)]
    assert [text.strip() for text in page.texts["h2"]] == list(SECTIONS)
    assert page.unbalanced == []


def test_ids_are_unique(two: Path) -> None:
    ids = [attributes["id"] for _, attributes in read(two).tags if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_rewards_equal_the_slow_script(page: Read, slow: Slow) -> None:
    rows = page.tables["a0-rewards"]
    assert [row["reward"] for row in rows] == list(simulated.REWARDS)
    for k, row in enumerate(rows):
        assert row["mean"] == pytest.approx(np.mean(slow.column(k)), **CLOSE)
        assert row["within-group std"] == pytest.approx(slow.within_group_std(k), **CLOSE)
        assert row["dead groups"] == pytest.approx(slow.dead_group_share(k), **CLOSE)
        assert row["share of |A|"] == pytest.approx(slow.share_of_advantage(k), **CLOSE)
        assert row["share of raw sum"] == pytest.approx(slow.share_of_raw_sum(k), **CLOSE)
        assert row["effective weight"] == pytest.approx(slow.effective_weight(k), **CLOSE)
        assert row["r with length"] == pytest.approx(slow.length_correlation(k), **CLOSE)


def test_conflicts_equal_the_slow_script(page: Read, slow: Slow) -> None:
    places = {name: k for k, name in enumerate(simulated.REWARDS)}
    for row in page.tables["a0-pairs"]:
        j, k = places[str(row["reward"])], places[str(row["and"])]
        assert row["r raw"] == pytest.approx(slow.raw_correlation(j, k), **CLOSE)
        assert row["r within"] == pytest.approx(slow.within_correlation(j, k), **CLOSE)
        assert row["signs"] == pytest.approx(slow.sign_correlation(j, k), **CLOSE)
        assert page.tables["a0-correlation-within"][j][simulated.REWARDS[k]] == row["r within"]
        assert page.tables["a0-correlation-raw"][j][simulated.REWARDS[k]] == row["r raw"]
        assert page.tables["a0-correlation-signs"][k][simulated.REWARDS[j]] == row["signs"]
    shown = [text for text in page.texts["output"] if text.endswith("%")]
    expected = (slow.cancelled_share(), slow.mixed_sign_share(), slow.selection(0.8)["kept"])
    assert shown[:3] == [f"{100 * share:.1f}\u202f%" for share in expected]


def test_the_sweep_equals_the_slow_script(page: Read, slow: Slow) -> None:
    titles = {"kept": "kept", "groups_emptied": "groups emptied", "query_weight": "query weight"}
    titles["cancelled_share"] = "cancelled left"
    rows = page.tables["a0-sweep"]
    assert [row["tau"] for row in rows] == [round(0.05 * i, 2) for i in range(21)]
    for row in rows[::4]:
        for name, value in slow.selection(float(row["tau"] or 0)).items():
            assert row[titles[name]] == pytest.approx(value, **CLOSE)


def test_steps_and_histograms_are_the_analysis(page: Read, analysis: Analysis) -> None:
    for row, point in zip(page.tables["a0-steps"], analysis.series, strict=True):
        assert (row["step"], row["cancelled"]) == (point.step, pytest.approx(point.cancelled_share, **CLOSE))
        assert row["format: dead group share"] == pytest.approx(point.dead_group_share["format"], **CLOSE)
    for reward in analysis.rewards:
        bars = [row for row in page.tables["a0-histograms"] if row["of"] == reward.name]
        assert [row["count"] for row in bars] == list(reward.histogram.counts)
        assert [row["from"] for row in bars] == pytest.approx(reward.histogram.edges, **CLOSE)
    drawn = [attributes["data-y"].split(",")[:-1] for tag, attributes in page.tags if "data-y" in attributes]
    first = next(ys for ys in drawn if len(ys) == len(analysis.series))
    assert [float(y) for y in first] == pytest.approx([p.mean["correctness"] for p in analysis.series], rel=1e-3)


def test_verdict_and_findings_are_there(one: Path, analysis: Analysis) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", one.read_text())).replace("\u2212", "-").replace("\u202f", " ")
    for sentence in (*analysis.verdict, *(finding.message for finding in analysis.findings)):
        assert sentence.replace("`", "").replace(">", "&gt;") in text


def test_two_runs_are_compared(two: Path, analysis: Analysis) -> None:
    page = read(two)
    first, second = page.tables["compare-compared"]
    assert (first["run"], second["run"]) == ("runs/demo", "runs/calmer")
    assert first["cancelled"] == pytest.approx(analysis.conflict.cancelled_share, **CLOSE)
    assert second["cancelled"] < first["cancelled"]
    pairs = [(row["reward"], row["run"]) for row in page.tables["compare-rewards-compared"]]
    assert pairs == [(name, run) for name in simulated.REWARDS for run in ("runs/demo", "runs/calmer")]
    assert {"a0-rewards", "a1-rewards"} <= set(page.tables)
    overlaid = [attributes["data-name"] for _, attributes in page.tags if "data-name" in attributes][:2]
    assert overlaid == ["runs/demo", "runs/calmer"]


def test_rewards_that_only_one_run_has(tmp_path: Path, analysis: Analysis) -> None:
    other = analyse(FakeDump([group([[1.0], [0.0]], step=s, key=str(s)) for s in range(4)], ("taste",)))
    write_page({"demo": analysis, "other": other}, tmp_path / "page.html")
    rows = read(tmp_path / "page.html").tables["compare-rewards-compared"]
    assert [row["reward"] for row in rows] == [*simulated.REWARDS, "taste"]


@pytest.mark.parametrize("name", ["one", "two", "bad"])
def test_nothing_is_asked_of_any_network(name: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(name)
    html = path.read_text()
    page = read(path)
    for tag, attributes in page.tags:
        assert tag not in {"img", "iframe", "object", "embed", "video", "audio", "base"}
        assert not {"src", "srcset", "action", "style", "background", "ping"} & set(attributes)
        assert not [key for key in attributes if key.startswith("on")]
        assert attributes.get("href", "#").startswith(("#", "data:image/svg+xml,"))
    style, script = (re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL) for tag in ("style", "script"))
    assert (len(style), len(script)) == (1, 1)
    assert not re.search(r"url\(|@import|//[a-z]+\.", style[0])
    assert not re.search(
        r"fetch|XMLHttp|WebSocket|import\(|innerHTML|outerHTML|insertAdjacent|document\.write", script[0]
    )
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["img-src"], rules["base-uri"]) == ("'none'", "data:", "'none'")
    for rule, text in (("style-src", style[0]), ("script-src", script[0])):
        assert rules[rule] == f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_hostile_text_stays_text(bad: Path) -> None:
    html, page = bad.read_text(encoding="utf-8"), read(bad)
    assert page.unbalanced == []
    assert html.count("<script") == 1
    assert "<img" not in html
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]", html)
    assert page.texts["h1"] == [hostile.NAME]
    assert {row["reward"] for row in page.tables["a0-rewards"]} == {hostile.NAME, r"\u202ehtgnel"}
    prompts = {str(row["prompt"]) for row in page.tables["a0-worst"]}
    shown = page.texts["pre"]
    for text in hostile.SHOWN:
        assert any(prompt.startswith(text) for prompt in prompts), text[:40]
        assert any(pane.startswith(text) for pane in shown), text[:40]
    assert "49" not in page.texts["h1"][0]


def test_what_is_cut_is_counted(bad: Path, tmp_path: Path) -> None:
    assert "998,000 characters more" in bad.read_text()
    assert "beyond 2,000 characters they are cut" in bad.read_text()
    # An analysis that was made with longer texts is cut by the page, and the counts add up.
    whole = hostile.analysed()
    example = dataclasses.replace(whole.examples[0].rollouts[0], completion="y" * 3000, cut=500)
    examples = (dataclasses.replace(whole.examples[0], rollouts=(example,)),)
    write_page({"r": dataclasses.replace(whole, examples=examples)}, tmp_path / "page.html")
    assert "1,500 characters more" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    "scores",
    [
        [np.full((4, 2), np.nan)] * 3,
        [np.array([[1.0, 2.0]])] * 3,
        [np.array([[0.5, 0.5]] * 4)] * 3,
        [np.array([[1e300, -1e300], [-1e300, 1e300]])],
        [np.array([[1.0, np.nan], [np.nan, 2.0], [0.0, 1.0]])] * 2,
    ],
    ids=["all NaN", "groups of one", "no signal", "huge", "holes"],
)
def test_degenerate_data_make_a_page(scores: list[np.ndarray], tmp_path: Path) -> None:
    dump = FakeDump([group(s, step=0, key=str(i)) for i, s in enumerate(scores)], ("a", "b"))
    write_page({"r": analyse(dump)}, tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert page.unbalanced == []
    assert not re.search(r">\s*(nan|inf|None|NaN)\b", (tmp_path / "page.html").read_text())


def test_one_reward_and_no_example(tmp_path: Path) -> None:
    dump = FakeDump([group(np.arange(4.0)[:, None], step=s, key=str(s)) for s in range(20)], ("only",))
    write_page({"r": analyse(dump)}, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "One reward cannot be at odds with itself." in html
    assert "No group has two rewards at odds." in html


def test_a_page_that_would_be_too_large_shows_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = hostile.analysed()
    sizes = []
    for limit in (LIMIT, 200_000, 160_000):
        monkeypatch.setattr("concord.report.page.render.LIMIT", limit)
        write_page({"r": longer}, tmp_path / "page.html")
        sizes.append((tmp_path / "page.html").stat().st_size)
        assert sizes[-1] < limit
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    html = (tmp_path / "page.html").read_text()
    assert f"beyond {DETAILS[-1].characters} characters" in html or "left out, to keep this page below 5 MB" in html
    monkeypatch.setattr("concord.report.page.render.LIMIT", 10_000)
    with pytest.raises(ConfigError, match="compare fewer runs"):
        write_page({"r": longer}, tmp_path / "other.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_eight_runs_fit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [
        group(generator.normal(size=(8, 4)), step=s, key=str(s), completions=["<b>&amp;</b>" * 500] * 8)
        for s in range(250)
    ]
    analysis = analyse(FakeDump(rows, ("a", "b", "c", "d")))
    write_page({f"run {n}": analysis for n in range(8)}, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < LIMIT
    assert len(read(tmp_path / "page.html").tables["compare-compared"]) == 8


def test_the_same_analysis_makes_the_same_page(one: Path, analysis: Analysis, tmp_path: Path) -> None:
    again = tmp_path / "new" / "folder" / "one.html"
    write_page({"runs/demo": analysis}, again, command="concord diagnose runs/demo --out one.html")
    assert again.read_bytes() == one.read_bytes()


def test_no_analysis_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one analysis"):
        write_page({}, tmp_path / "page.html")


def test_without_jinja_the_extra_is_named(analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"concord-rl\[report\]"):
        write_page({"r": analysis}, tmp_path / "page.html")


def test_a_number_that_could_not_be_measured_is_an_empty_cell(tmp_path: Path, analysis: Analysis) -> None:
    reward = dataclasses.replace(analysis.rewards[0], mean=math.nan, trend=None)
    write_page({"r": dataclasses.replace(analysis, rewards=(reward, *analysis.rewards[1:]))}, tmp_path / "p.html")
    row = read(tmp_path / "p.html").tables["a0-rewards"][0]
    assert (row["mean"], row["first third"]) == (None, None)
