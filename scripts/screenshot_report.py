"""Take a picture of the top of a report page: ``python scripts/screenshot_report.py report.html report.png``.

Needs Chromium and Pillow; on Debian: ``apt-get install chromium``. The picture in the documentation is made by

    concord diagnose runs/demo --out report.html
    python scripts/screenshot_report.py report.html docs/assets/report.png
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

LIMIT = 300_000
"""Bytes that the repository takes for a picture."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
)


def screenshot(page: Path, picture: Path, *, width: int = 1280, height: int = 1900) -> None:
    """Draw the top of ``page`` in the light theme into ``picture``.

    Raises:
        SystemExit: there is no Chromium, it drew nothing, or the picture is too large.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium was found; on Debian: apt-get install chromium")
    if not page.is_file():
        sys.exit(f"{page}: there is no such page")
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        drawn = Path(profile) / "drawn.png"
        window = (f"--window-size={width},{height}", f"--screenshot={drawn}", f"--user-data-dir={profile}/user")
        subprocess.run(
            [chromium, *FLAGS, *window, page.resolve().as_uri()], check=True, capture_output=True, timeout=120
        )
        if not drawn.exists():
            sys.exit("chromium drew nothing")
        # A page has few colours; with 256 of them the file is a third as large and looks the same.
        Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    if picture.stat().st_size > LIMIT:
        sys.exit(f"{picture} has {picture.stat().st_size:,} bytes, more than {LIMIT:,}; give a smaller --height")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path, help="an HTML report")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1900)
    given = parser.parse_args()
    screenshot(given.page, given.picture, width=given.width, height=given.height)
