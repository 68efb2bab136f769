"""The HTML report: its content, and that no text becomes markup."""

from html.parser import HTMLParser
from math import inf
from typing import Any

import pytest

from tasks.evaluation.models.gate import Guards
from tasks.evaluation.reports.html import render_html
from tests.factories.hostile_text import HOSTILE
from tests.factories.runs import CHAMPION, SECTIONS, figures, history, report_data

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page(HTMLParser):
    """A parsed page: elements, sections, and the text in each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.sections: dict[str, str] = {}
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "section":
            self.sections[dict(attrs)["id"] or ""] = ""
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
            if self.sections and "section" in self.open:
                self.sections[list(self.sections)[-1]] += data


def page(**changed: Any) -> Page:
    return Page(render_html(report_data(**changed)))


@pytest.fixture(scope="module")
def whole() -> Page:
    return page()


def test_all_sections_are_present_with_the_verdict_first(whole: Page) -> None:
    assert list(whole.sections) == SECTIONS
    links = [value for tag, name, value in whole.attributes if tag == "a" and name == "href"]
    assert links == [f"#{section}" for section in SECTIONS]


def test_missing_data_has_no_section() -> None:
    assert set(SECTIONS) - set(page(timings={}).sections) == {"timings"}
    left = page(timings={}, lineage=(), parameters={})
    assert set(SECTIONS) - set(left.sections) == {"timings", "lineage", "parameters"}


def test_every_section_shows_its_data(whole: Page) -> None:
    for section, expected in (
        ("verdict", "Promoted"), ("verdict", "The challenger becomes champion."), ("verdict", "0.5138"),
        ("verdict", f"beats the champion {CHAMPION[:12]}"), ("samples", "ends in a space"),
        ("samples", "held-out document"),
        ("samples", "\\x1b[31m putting\\x00 | putting <b>a</b>"), ("metrics", "0.5190 (0.5162 to 0.5219)"),
        ("losses", "loss floor 0.512"), ("corpus", "48,600 derivations"), ("parameters", "learning_rate"),
        ("parameters", '"To make a cheese sandwich "'), ("parameters", "not set"), ("timings", "2 min"),
        ("environment", "with uncommitted changes"), ("environment", "2.13.0+cpu"), ("lineage", "5" * 64),
    ):  # fmt: skip
        assert expected in whole.sections[section], expected
    for mark in ("new", "copied", "invalid"):
        assert mark in whole.sections["samples"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"figures": figures(challenger=140)}, f"The champion {CHAMPION[:12]} stays."),
        ({"figures": figures(challenger=140, champion=None)}, "There is no champion yet."),
        ({"figures": figures(challenger=140, gate="off")}, "The challenger becomes champion, as the gate is off."),
        ({"figures": figures(challenger=inf)}, "not finite"),
        ({"figures": figures(given=(), samples=0)}, "There were no prompts."),
        ({"floor_per_token": None}, "No loss floor is known."),
        ({"environment": {}}, "unknown"),
    ],
)
def test_every_kind_of_run_is_described(changed: dict[str, Any], expected: str) -> None:
    assert expected in page(**changed).text


def test_a_run_on_text_files_has_neither_valid_nor_new_samples() -> None:
    sections = page(figures=figures(templates=[], guards=Guards())).sections
    assert "invalid" not in sections["samples"]
    assert "copied" in sections["samples"]
    assert "Valid" not in sections["metrics"]


def test_no_text_becomes_markup(whole: Page) -> None:
    texts = [*HOSTILE, '"><img src=x onerror=alert(1)>', "' onload='x", "w" * 500]
    html = render_html(
        report_data(
            title="".join(texts), figures=figures(given=texts, hostile=texts),
            parameters={text: {text: text, "l": [text, text]} for text in texts}, timings=dict.fromkeys(texts, 1.0),
            environment={"git_commit": "".join(texts), "python": "</code>", "libraries": {one: one for one in texts}},
            lineage=[(text, text, text) for text in texts],
        )
    )  # fmt: skip
    read = Page(html)
    assert read.names <= whole.names
    assert {(tag, name) for tag, name, _ in read.attributes} <= {(tag, name) for tag, name, _ in whole.attributes}
    assert {value for _, name, value in read.attributes if name == "href"} == {
        value for _, name, value in whole.attributes if name == "href"
    }
    for text in ("<script>alert(1)</script>", "</td></tr>", "&lt;b&gt;", "\\x1b[31mred", "\\u202eright", "\\ud800"):
        assert all(text in read.sections[one] for one in ("samples", "parameters", "lineage", "environment")), text
    assert all(char.isprintable() or char == "\n" for char in html)
    html.encode()


def test_the_page_needs_no_network_and_no_script(whole: Page) -> None:
    assert not whole.names & {"script", "link", "iframe", "object", "img", "base", "form"}
    assert ("meta", "content", POLICY) in whole.attributes
    addresses = [value or "" for _, name, value in whole.attributes if name in {"href", "src", "xlink:href"}]
    assert all(address.startswith("#") for address in addresses)
    assert "@import" not in render_html(report_data())
    assert "url(http" not in render_html(report_data())


def test_the_ids_are_unique_and_the_links_lead_somewhere(whole: Page) -> None:
    ids = [value for _, name, value in whole.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    linked = {value for _, name, value in whole.attributes if name == "href"}
    assert {f"#{one}" for one in ids} >= linked


def test_equal_data_gives_equal_bytes() -> None:
    assert render_html(report_data()).encode() == render_html(report_data()).encode()
    assert render_html(report_data(history=history(5))) != render_html(report_data())
