"""Make the picture in the project's README, `benchmarks/report.png`, from the HTML report of a run.

Command: `python benchmarks/report_picture.py [report.html]`. Without a report it trains with the default parameters
first, in a temporary data folder (about a minute on two CPU cores). Needs Chromium.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "benchmarks" / "report.png"
MAX_BYTES = 200_000
STYLE = """<style>
html { background: none; }
body { position: relative; max-width: none; padding: 1.5rem 2.25rem 1.75rem; background: none; }
body::before {
  content: ""; position: absolute; inset: 0; z-index: -1; border: 1px solid var(--line); background: var(--page);
}
h1, nav, section, .prompt, .flags, .prompt .columns:nth-of-type(n + 4) { display: none; }
#verdict, #samples, #losses, .prompt:nth-of-type(2) { display: block; }
main { display: grid; grid-template-columns: 4fr 3fr; gap: 0 2.5rem; }
#verdict { grid-column: span 2; margin-top: 1rem; }
section { margin-top: 2rem; }
.tiles { margin-top: 1.5rem; }
h2 { margin-bottom: 1rem; }
.prompt { margin-top: 1.25rem; }
.plot .wide { display: none; }
.plot .narrow { display: block; }
</style></head>"""
"""Keeps the verdict, samples of one prompt and the losses, on an opaque card that suits a light and a dark page."""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Make the README's picture of the HTML report.")
    parser.add_argument("report", nargs="?", type=Path, help="the report of a run; without it, a model is trained")
    report: Path | None = parser.parse_args().report
    with tempfile.TemporaryDirectory() as scratch:
        take_picture(report or train(Path(scratch) / "data"), Path(scratch))


def train(data: Path) -> Path:
    """Train with the default parameters and return the report."""
    environment = {**os.environ, "SPINNERET_DATA": str(data)}
    subprocess.run([sys.executable, "flows/train.py"], cwd=ROOT, env=environment, check=True)
    [report] = (data / "reports").glob("*.html")
    return report


def take_picture(report: Path, scratch: Path) -> None:
    """Take a screenshot of the report in light colours, cut to its content."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("Chromium was not found: install it, for example with `apt-get install chromium`")
    page, screenshot = scratch / "page.html", scratch / "screenshot.png"
    page.write_text(report.read_text(encoding="utf-8").replace("</head>", STYLE, 1), encoding="utf-8")
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--force-device-scale-factor=1.5", "--window-size=1120,2000", "--default-background-color=00000000",
            "--blink-settings=preferredColorScheme=1", f"--user-data-dir={scratch / 'profile'}",
            f"--screenshot={screenshot}", page.as_uri(),
        ],
        check=True, timeout=120, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with Image.open(screenshot) as image:
        image.crop(image.getbbox()).convert("RGB").quantize(256).save(PICTURE, optimize=True)
    size = PICTURE.stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"{PICTURE} has {size:,} bytes, more than {MAX_BYTES:,}: use fewer colours or a smaller scale")
    print(f"{PICTURE}: {size:,} bytes")


if __name__ == "__main__":
    main()
