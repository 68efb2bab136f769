"""The report in a real browser, on a phone and on a desktop, in light and in dark.

The page `report_harness.html` shows the report in a frame of each width (a headless chromium has no window below 500
pixels), measures the frames and writes the figures into itself.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tasks.evaluation.models.gate import Guards
from tasks.evaluation.reports.html import ReportData, render_html
from tests.factories.hostile_text import HOSTILE
from tests.factories.runs import SECTIONS, figures, report_data

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = 360, 1366
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3."""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser: install one with `apt-get install chromium`")

LONG = ["w" * 400, "<script>throw 1</script>", "日本語" * 60]
RUNS: dict[str, Callable[[], ReportData]] = {
    "champion": report_data,
    "first": lambda: report_data(figures=figures(champion=None, challenger=140), timings={}),
    "text files": lambda: report_data(figures=figures(templates=[], guards=Guards()), floor_per_token=None),
    "hostile": lambda: report_data(
        title=LONG[0], figures=figures(given=[*HOSTILE[:8], *LONG], hostile=[*HOSTILE, *LONG], samples=2),
        parameters={LONG[0]: {text: text for text in LONG}}, timings=dict.fromkeys(LONG, 1.0),
        lineage=[(text, text, text) for text in LONG],
    ),
}  # fmt: skip
HARNESS = (Path(__file__).parent / "report_harness.html").read_text(encoding="utf-8")


def measure(folder: Path, page: str, *, dark: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """The figures of each frame, and the lines of the browser's console."""
    (folder / "report.html").write_text(page, encoding="utf-8")
    frames = "".join(
        f'<iframe src="report.html" style="width: {width}px; border: 0"></iframe>' for width in (PHONE, DESKTOP)
    )
    harness = HARNESS.replace("FRAMES", frames).replace("LEAST", str(LEAST_CONTRAST))
    (folder / "harness.html").write_text(harness, encoding="utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--allow-file-access-from-files", "--enable-logging=stderr", "--dump-dom",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--user-data-dir={folder / 'profile'}",
            (folder / "harness.html").as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="measures">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:] + done.stderr[-2000:]
    return json.loads(unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize(
    ("name", "dark"),
    [("champion", False), ("champion", True), ("first", True), ("text files", False), ("hostile", False)],
)
def test_the_report_opens_without_an_error_and_nothing_overflows(tmp_path: Path, name: str, dark: bool) -> None:
    data = RUNS[name]()
    measured, console = measure(tmp_path, render_html(data), dark=dark)
    assert console == []
    assert [one["width"] for one in measured] == [PHONE, DESKTOP]
    for one in measured:
        expected = [section for section in SECTIONS if data.timings or section != "timings"]
        assert one["sections"] == expected
        assert one["scrolls"] <= one["width"]
        assert one["loose"] == []
        assert one["texts"] > 100
        assert one["poor"] == []
        assert one["dark"] == dark
        assert len(one["plots"]) == 1
        assert 250 < one["plots"][0] <= one["width"]
    assert [one["columns"] for one in measured] == ["below", "beside"]


def test_a_page_with_errors_is_detected(tmp_path: Path) -> None:
    wrong = render_html(report_data()).replace(
        "</main>", '<p style="width: 2000px; color: #999; background: #aaa">wide</p><script>alert(1)</script></main>'
    )
    measured, console = measure(tmp_path, wrong, dark=False)
    assert any("Content Security Policy" in line for line in console)
    assert all(one["scrolls"] > one["width"] and one["loose"] and one["poor"] for one in measured)
