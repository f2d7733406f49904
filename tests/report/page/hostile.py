"""Texts that want to be more than text."""

from __future__ import annotations

import dataclasses

import numpy as np

from concord.report import Analysis, analyse
from tests.report.fake import FakeDump, group

NAME = "\"'><script>alert(2)</script>`{{7*7}}"
"""For whatever has a name: reward, run, group, analysis, command."""

HUGE = "x" * 1_000_000

TEXTS = (
    "<script>alert(1)</script>",
    "</script></style></pre><img src=x onerror=alert(1)>",
    "{{7*7}} {% include 'page.html' %} ${7*7}",
    "invoice\u202egnp.exe \u2066isolated",
    "".join(map(chr, range(32))) + "\x7f\x80\ufeff",
    HUGE,
    "half a pair: \ud800",
    "=cmd|' /C calc'!A0",
)

SHOWN = (
    TEXTS[0],
    TEXTS[1],
    TEXTS[2],
    r"invoice\u202egnp.exe \u2066isolated",
    r"\x00\x01\x02\x03\x04\x05\x06\x07\x08" + "\t\n" + r"\x0b\x0c\r",
    "x" * 2000,
    r"half a pair: \ud800",
    TEXTS[7],
)
"""What of each the page shows (at its beginning)."""


def analysed() -> Analysis:
    """Every text as prompt and as completion; every name hostile."""
    scores = np.stack([np.arange(8.0), -(np.arange(8.0) ** 1.1)], axis=1)
    rows = [
        dataclasses.replace(
            group(scores, step=step, key=NAME, run=NAME, completions=list(TEXTS), learner={NAME: 1e308}),
            prompt=TEXTS[step % len(TEXTS)],
        )
        for step in range(16)
    ]
    dump = FakeDump(rows, (NAME, "\u202ehtgnel"), format=NAME, inferred=[NAME], missing=[NAME])
    dump.skipped[NAME] = 3
    return analyse(dump)
