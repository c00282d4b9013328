"""Makes docs/pictures/report.png: the head of the demo's report and its charts, side by side, as a browser draws them.

`python docs/making/picture.py` with the extra `test` and a Chromium; nothing is fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

TO = Path(__file__).resolve().parents[1] / "pictures" / "report.png"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
WIDTH, HEIGHT = 1100, 1060  # of each half, before it is made smaller
SIDES = """
<body style="margin:0;display:flex;gap:16px;background:#d9dedf;padding:16px;width:2216px">
<img src="LEFT" width=1100 height=1060><img src="RIGHT" width=1100 height=1060></body>
"""


def main() -> None:
    """Runs the demo, opens its report twice, and puts the halves beside each other."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        subprocess.run([sys.executable, "-m", "sqlanon", "demo", "clinic"], cwd=folder, check=True, capture_output=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(Path(folder, "clinic", "report.html").as_uri())
        page.wait_for_timeout(4000)  # until the charts have drawn
        for name, place in (("left", "main"), ("right", "#risk")):
            page.evaluate(f"document.querySelector('{place}').scrollIntoView({{behavior: 'instant'}})")
            page.wait_for_timeout(500)
            page.screenshot(path=Path(folder, f"{name}.png"))
        sides = SIDES.replace("LEFT", "left.png").replace("RIGHT", "right.png")
        Path(folder, "sides.html").write_text(sides, encoding="utf-8")
        both = browser.new_page(viewport={"width": 2248, "height": HEIGHT + 32}, device_scale_factor=0.6)
        both.goto(Path(folder, "sides.html").as_uri())
        both.screenshot(path=TO)
        browser.close()


if __name__ == "__main__":
    main()
