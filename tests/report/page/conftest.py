"""A page of one run and a page of two, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.report import Analysis
from concord.report.page import write_page
from tests.report.page import hostile, simulated


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    return simulated.analysed()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def one(analysis: Analysis, folder: Path) -> Path:
    write_page({"runs/demo": analysis}, folder / "one.html", command="concord diagnose runs/demo --out one.html")
    return folder / "one.html"


@pytest.fixture(scope="session")
def two(analysis: Analysis, folder: Path) -> Path:
    calmer = simulated.analysed(seed=1, steps=60, opposed=0.2)
    write_page({"runs/demo": analysis, "runs/calmer": calmer}, folder / "two.html")
    return folder / "two.html"


@pytest.fixture(scope="session")
def bad(folder: Path) -> Path:
    write_page({hostile.NAME: hostile.analysed()}, folder / "bad.html", command=hostile.NAME)
    return folder / "bad.html"
