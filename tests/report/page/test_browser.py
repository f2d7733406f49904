"""The page in a real browser: it draws, it reacts, it is silent, and hostile text stays text."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from concord.report import Analysis
from concord.report.page import write_page
from tests.report.page import hostile
from tests.report.page.browser import chromium, open_page, requested, saved

SLIDE = """
const input = document.querySelectorAll('.threshold input')[arguments[0]];
input.value = arguments[1];
input.dispatchEvent(new Event('input', {bubbles: true}));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def text_of(browser: Any, selector: str) -> list[str]:
    script = "return Array.from(document.querySelectorAll(arguments[0]), (one) => one.textContent)"
    found: list[str] = browser.execute_script(script, selector)
    return found


def shown(browser: Any, selector: str) -> int:
    script = "return Array.from(document.querySelectorAll(arguments[0])).filter((one) => !one.hidden).length"
    return int(browser.execute_script(script, selector))


def numbers(browser: Any) -> dict[str, str]:
    """The numbers that go with the threshold."""
    script = "return Object.fromEntries(Array.from(arguments[0], (o) => [o.dataset.field, o.textContent]))"
    found: dict[str, str] = browser.execute_script(
        script.replace("arguments[0]", "document.querySelectorAll('output[data-field]')")
    )
    return found


def choose(browser: Any, selector: str, value: str) -> None:
    browser.execute_script(
        "const one = document.querySelector(arguments[0]); one.value = arguments[1];"
        "one.dispatchEvent(new Event('input', {bubbles: true}))",
        selector,
        value,
    )


@pytest.mark.parametrize("name", ["one", "two", "bad"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_silent_and_fits(browser: Any, request: pytest.FixtureRequest, name: str, width: int) -> None:
    path: Path = request.getfixturevalue(name)
    open_page(browser, path, width=width)
    assert browser.get_log("browser") == []
    asked, refused = requested(browser)
    assert [url for url in asked if not url.startswith("data:image/svg+xml,")] == [path.as_uri()]
    assert refused == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert browser.execute_script("return document.documentElement.classList.contains('js')")


def test_its_policy_is_in_force(browser: Any, one: Path) -> None:
    open_page(browser, one)
    browser.execute_script(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/a.png'}))"
    )
    browser.execute_async_script(
        "const done = arguments[arguments.length - 1]; fetch('https://example.org/').then(done, () => done())"
    )
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert len([message for message in complaints if "Content Security Policy" in message]) >= 2
    asked, refused = requested(browser)
    assert not [url for url in asked if "example.org" in url]
    assert "https://example.org/a.png" in refused


def test_it_draws(browser: Any, one: Path, analysis: Analysis) -> None:
    open_page(browser, one)
    heights = browser.execute_script(
        "return Array.from(document.querySelectorAll('.card .bar'), (bar) => bar.getBoundingClientRect().height)"
    )
    assert len(heights) == sum(len(reward.histogram.counts) for reward in analysis.rewards)
    assert max(heights) > 80
    lengths = browser.execute_script(
        "return Array.from(document.querySelectorAll('path.curve'), (path) => path.getTotalLength())"
    )
    assert len(lengths) == 5 + 3 + 3 + 3 + 3 + 1 + 1
    assert min(lengths) > 500  # of a square of 1000: a curve goes all the way across
    sized = "return getComputedStyle(document.querySelector('.lead')).fontSize"
    assert browser.execute_script(sized) == "20px"  # the style sheet is in force


def test_the_slider_changes_the_numbers(browser: Any, one: Path, analysis: Analysis) -> None:
    open_page(browser, one)
    assert len(numbers(browser)) == 5
    seen = set()
    for index in (0, 7, 20):
        browser.execute_script(SLIDE, index % 2, index)
        row, found = analysis.sweep[index], numbers(browser)
        seen.add(tuple(found.values()))
        assert found["kept"] == f"{100 * row.kept:.1f}\u202f%"
        assert found["groups emptied"] == f"{100 * row.groups_emptied:.1f}\u202f%"
        assert found["query weight"] == f"{100 * row.query_weight:.1f}\u202f%"
        assert found["cancelled left"] == f"{100 * row.cancelled_share:.1f}\u202f%"
        assert found["r with GDPO"] == f"{row.correlation_with_gdpo:+.2f}"
        assert text_of(browser, ".threshold output") == [f"{row.tau:.2f}"] * 2
        assert text_of(browser, "#a0-sweep .marked th, #a0-sweep .marked td")[0] == f"{row.tau:.2f}"
        places = browser.execute_script(
            "return Array.from(document.querySelectorAll('.dot'),"
            "(dot) => [dot.getAttribute('cx'), dot.getAttribute('cy')])"
        )
        assert {place for place, _ in places} == {f"{5 * index}%"}
        assert sorted(float(height[:-1]) for _, height in places) == pytest.approx(
            sorted(
                100 * (1 - value)
                for value in (
                    *(row.kept, row.groups_emptied, row.query_weight),
                    *(row.cancelled_share, row.correlation_with_gdpo),
                )
            ),
            abs=1e-6,
        )
    assert len(seen) == 3


def test_the_slider_drops_rollouts(browser: Any, one: Path, analysis: Analysis) -> None:
    open_page(browser, one)
    rollouts = [rollout for example in analysis.examples for rollout in example.rollouts]
    states = text_of(browser, ".rollout .state")
    assert states == ["kept" if r.keep else "dropped" for r in rollouts]
    browser.execute_script(SLIDE, 1, 0)
    assert set(text_of(browser, ".rollout .state")) == {"kept"}
    browser.execute_script(SLIDE, 1, 20)
    assert text_of(browser, ".rollout .state") == ["dropped" if r.mixed else "kept" for r in rollouts]
    browser.execute_script(SLIDE, 0, 5)
    dropped = [r.mixed and abs(r.consensus) < 0.25 for r in rollouts]
    assert text_of(browser, ".rollout .state") == ["dropped" if one else "kept" for one in dropped]


def test_tau_1_drops_a_mixed_rollout_that_rounds_to_agreement(browser: Any, analysis: Analysis, tmp_path: Path) -> None:
    example = analysis.examples[0]
    rounded = dataclasses.replace(example.rollouts[0], mixed=True, consensus=1.0, keep=True)
    unscored = dataclasses.replace(example.rollouts[0], mixed=False, consensus=0.0, keep=False)
    examples = (dataclasses.replace(example, rollouts=(rounded, unscored)),)
    write_page({"r": dataclasses.replace(analysis, examples=examples)}, tmp_path / "page.html")
    open_page(browser, tmp_path / "page.html")
    assert text_of(browser, ".rollout .state") == ["kept", "not scored"]
    browser.execute_script(SLIDE, 0, 20)
    assert text_of(browser, ".rollout .state") == ["dropped", "not scored"]


def test_filter_and_search(browser: Any, one: Path, analysis: Analysis) -> None:
    open_page(browser, one)
    rollouts = [(example, rollout) for example in analysis.examples for rollout in example.rollouts]
    assert shown(browser, ".rollout") == len(rollouts)
    for which, count in (
        ("mixed", sum(r.mixed for _, r in rollouts)),
        ("kept", sum(r.keep for _, r in rollouts)),
        ("dropped", sum(not r.keep for _, r in rollouts)),
    ):
        choose(browser, ".examples select", which)
        assert shown(browser, ".rollout") == count
        assert text_of(browser, ".found")[0].startswith(f"{count} rollout")
    choose(browser, ".examples select", "")
    words = "nothing ELSE is required"
    right = [words.lower() in (r.completion + e.query.prompt).lower() for e, r in rollouts]
    assert 0 < sum(right) < len(right)
    choose(browser, ".examples input[type=search]", words)
    assert shown(browser, ".rollout") == sum(right)
    assert browser.execute_script("return CSS.highlights.get('found').size") >= sum(right)
    prompt = analysis.examples[-1].query.prompt
    choose(browser, ".examples input[type=search]", prompt)
    assert shown(browser, ".example") == len({e.query.key for e in analysis.examples if e.query.prompt == prompt})
    choose(browser, ".examples input[type=search]", "no such words")
    assert (shown(browser, ".example"), text_of(browser, ".found")) == (0, ["0 rollouts of 0 groups"])


def test_the_theme(browser: Any, one: Path) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(252, 252, 250)", "rgb(21, 23, 27)"
    open_page(browser, one, dark=True)
    browser.execute_script("localStorage.clear()")
    open_page(browser, one, dark=True)
    assert browser.execute_script(paper) == dark
    open_page(browser, one)
    assert browser.execute_script(paper) == light
    browser.execute_script("document.getElementById('theme').click()")
    assert browser.execute_script(paper) == dark
    open_page(browser, one)
    assert browser.execute_script(paper) == dark  # it was chosen, and is remembered
    browser.execute_script("document.getElementById('theme').click(); localStorage.clear()")
    assert browser.execute_script(paper) == light


def test_tables_sort(browser: Any, one: Path, analysis: Analysis) -> None:
    open_page(browser, one)
    names = {reward.name: reward.within_group_std for reward in analysis.rewards}
    heads = "Array.from(document.querySelectorAll('#a0-rewards thead th'))"
    click = f"{heads}.find((head) => head.textContent === arguments[0]).click()"
    browser.execute_script(click, "within-group std")
    assert text_of(browser, "#a0-rewards tbody th") == sorted(names, key=lambda name: -names[name])
    browser.execute_script(click, "within-group std")
    assert text_of(browser, "#a0-rewards tbody th") == sorted(names, key=lambda name: names[name])
    browser.execute_script(click, "reward")
    assert text_of(browser, "#a0-rewards tbody th") == sorted(names)


def test_curves_say_their_values(browser: Any, one: Path, analysis: Analysis) -> None:
    open_page(browser, one)
    browser.execute_async_script(
        """
        document.querySelector('.sweep .plot').scrollIntoView({block: 'center'});
        requestAnimationFrame(() => requestAnimationFrame(arguments[0]));
        """
    )
    browser.execute_script(
        """
        const plot = document.querySelector('.sweep .plot');
        const box = plot.getBoundingClientRect();
        const where = {clientX: box.left + 0.26 * box.width, clientY: box.top + 50, bubbles: true};
        plot.dispatchEvent(new PointerEvent('pointermove', where));
        """
    )
    row = analysis.sweep[5]
    lines = text_of(browser, "#tip span")
    assert text_of(browser, "#tip b") == ["tau 0.25"]
    assert lines[0] == f"kept{100 * row.kept:.1f}\u202f%"
    assert lines[4] == f"r with GDPO{row.correlation_with_gdpo:+.2f}"
    assert shown(browser, "#tip") == 1


def test_tables_are_saved(browser: Any, one: Path, bad: Path, analysis: Analysis, tmp_path: Path) -> None:
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    press = (
        "document.querySelector(arguments[0]).closest('.table').querySelectorAll('.save button')[arguments[1]].click()"
    )
    open_page(browser, one)
    browser.execute_script(press, "#a0-sweep", 0)
    rows = list(csv.DictReader(saved(tmp_path, "a0-sweep.csv").splitlines()))
    assert [float(row["kept"]) for row in rows] == pytest.approx([s.kept for s in analysis.sweep], rel=1e-8)
    assert {row["r with dump"] for row in rows} == {""}
    browser.execute_script(press, "#a0-rewards", 1)
    found = json.loads(saved(tmp_path, "a0-rewards.json"))
    assert [row["mean"] for row in found] == pytest.approx([r.mean for r in analysis.rewards], rel=1e-8)
    browser.execute_script("document.querySelector('.everything').click()")
    whole = json.loads(saved(tmp_path, "concord.json"))
    assert len(whole["steps"]) == len(analysis.series)
    first = analysis.examples[0].rollouts[0]
    assert whole["rollouts"][0]["completion"] == first.completion
    assert whole["rollouts"][0]["correctness: score"] == first.scores["correctness"]
    open_page(browser, bad)
    browser.execute_script(press, "#a0-worst", 0)
    prompts = [row["prompt"] for row in csv.DictReader(saved(tmp_path, "a0-worst.csv").splitlines(keepends=True))]
    assert f"'{hostile.TEXTS[7]}" in prompts  # a spreadsheet runs no formula
    assert hostile.TEXTS[1] in prompts
    assert browser.get_log("browser") == []


def test_hostile_text_stays_text(browser: Any, bad: Path) -> None:
    open_page(browser, bad)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.scripts.length") == 1
    assert browser.execute_script("return document.images.length") == 0
    assert browser.title.startswith(hostile.NAME)
    completions = text_of(browser, ".example:first-of-type .completion")
    for found, expected in zip(completions, hostile.SHOWN, strict=True):
        assert found.startswith(expected)
    assert text_of(browser, ".card h3")[0].startswith(hostile.NAME)
    choose(browser, ".examples input[type=search]", "<script>")
    assert shown(browser, ".rollout") > 0
    assert browser.execute_script("return document.scripts.length") == 1


def test_it_can_be_read_without_javascript(browser: Any, one: Path, analysis: Analysis) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, one)
        seen = browser.find_element("tag name", "main").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for words in ("Each reward", "The same rollouts under four methods", analysis.examples[0].query.prompt):
        assert words in seen
    assert "CSV" not in seen  # what would not work is not offered
    assert "search" not in seen


def test_on_paper_it_is_light_and_without_controls(browser: Any, one: Path) -> None:
    open_page(browser, one, dark=True)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    style = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    assert browser.execute_script(style, ".top", "display") == "none"
    assert browser.execute_script(style, ".save", "display") == "none"
    assert browser.execute_script(style, "body", "color") == "rgb(26, 29, 35)"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
