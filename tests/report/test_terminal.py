"""What the terminal shows."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from concord.report import analyse, terminal
from concord.report.analysis import Analysis
from tests.report.fake import FakeDump, group
from tests.report.simulate import opposed, run


def shown(analysis: Analysis) -> str:
    console = Console(width=120, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as captured:
        terminal.show(analysis, console)
    return captured.get()


def test_the_numbers_are_those_of_the_analysis() -> None:
    analysis = analyse(run(opposed, ("correctness", "brevity"), 0))
    text = shown(analysis)
    pair, reward = analysis.conflict.pairs[0], analysis.rewards[1]
    assert f"{100 * pair.opposed_groups:.0f} %" in text
    assert f"{pair.correlation.value:+.2f}" in text
    assert f"{reward.mean:.3g}" in text
    assert f"{100 * reward.share_of_advantage:.0f} %" in text
    for row in analysis.sweep:
        if row.tau in terminal.SHOWN_TAUS:
            assert f"gd2po tau={row.tau:g}" in text


def test_each_finding_is_told_once() -> None:
    analysis = analyse(run(opposed, ("correctness", "brevity"), 0))
    text = shown(analysis)
    for finding in analysis.findings:
        assert text.count(finding.message) == 1


def test_what_was_not_measured_is_a_dash_and_the_rest_of_many_pairs_is_counted() -> None:
    rows = [group(np.full((1, 7), float(p)), key=str(p)) for p in range(3)]
    text = shown(analyse(FakeDump(rows, tuple("abcdefg"))))
    assert "nan" not in text
    assert "11 more" in text  # of 21 pairs
    assert "unmeasured" in text


def test_reward_names_are_text() -> None:
    text = shown(analyse(FakeDump([group(np.eye(3))], ("[red]a[/]", "\x1b[2J", "\ud800"))))
    assert "[red]a[/]" in text
    assert "\x1b" not in text
    assert "\\ud800" in text
