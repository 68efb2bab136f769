"""Text that tries to break out of wherever it is shown."""

import re

HOSTILE = [
    "a | b", "a\nb", "a\r\nb", "a\u2028b", "a\x85b", "<script>alert(1)</script>", "</td></tr>", "<!-- ", "&lt;b&gt;",
    "`code", "```\nfence", "*bold*", "_under_", "[link](javascript:alert(1))", "![i](http://x/y.png)", "a\\|b", "\\",
    "\x1b[31mred\x1b]0;title\x07", "a\tb", "\x00", "\u202eright to left", "\ud800", "", "  ", "# heading", "~~gone~~",
]  # fmt: skip


def unescaped_bars(line: str) -> int:
    """The number of cell borders in a line of Markdown."""
    return len(re.findall(r"(?<!\\)\|", line))
