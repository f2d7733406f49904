"""A headless Chromium that may not talk to anyone, for the tests of the page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripts.screenshot_report import FLAGS


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver with console and network logs on; skips the test where there is no browser."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; it is in the dev extra")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium or no chromedriver; on Debian: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def open_page(browser: Any, path: Path, *, width: int = 1280, dark: bool = False) -> None:
    """Load a page afresh, in a window of that width and a system theme."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())
    from selenium.webdriver.support.ui import WebDriverWait  # there, since there is a browser

    there = f"return document.readyState === 'complete' && location.href === {json.dumps(path.as_uri())}"
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(there))


def requested(browser: Any) -> tuple[list[str], list[str]]:
    """The addresses asked for since the page was opened, and those that its policy refused before they left."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["requestId"]: m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    failed = [m["params"] for m in messages if m["method"] == "Network.loadingFailed"]
    refused = {m["requestId"] for m in failed if m.get("blockedReason") == "csp"}
    addresses = {key: str(one["request"]["url"]) for key, one in asked.items()}
    return [addresses[k] for k in asked if k not in refused], [addresses[k] for k in asked if k in refused]


def saved(folder: Path, name: str) -> str:
    """A file that the page saves, once it is there."""
    for _ in range(100):
        if (folder / name).exists():
            return (folder / name).read_text(encoding="utf-8")
        time.sleep(0.05)
    raise AssertionError(f"{name} was not saved; there is {[file.name for file in folder.iterdir()]}")
