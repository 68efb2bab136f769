"""Template files and Markdown, and the command."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.spintax import SpintaxError, Template, read_templates
from tasks.spintax.__main__ import main

ROOT = Path(__file__).parents[2]

SEED_MARKDOWN = """\
## About the training data

I used the "spintax" sentence, and plugged it into the spintax spinner here: [spintax test editor](https://x.example) -
then used [NimbleText](https://NimbleText.com) to sort it, remove duplicates, and shuffle it.

```python
text = '''spintax
{not|this}
'''
```

'''spintax
\
{you can|you should|anyone can} {construct|build|make} {a|a basic|your|your basic|a yummy} cheese sandwich\
 {by|by just|by simply}\
 {putting|placing|sticking|inserting|tucking} a\
 {cheese slice|slice of cheese|cheese slice (or two)|slab of cheese} {between|in-between|inside} two\
 {pieces|slices} of {bread|toast|your favorite bread}
'''

## Sources
"""


def _write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _read(folder: Path, name: str, data: str | bytes) -> list[Template]:
    return read_templates(_write(folder, name, data))


def _refusal(folder: Path, name: str, data: str | bytes) -> str:
    with pytest.raises(InputError) as raised:
        _read(folder, name, data)
    return str(raised.value)


def test_each_line_of_a_file_is_a_template(tmp_path: Path) -> None:
    templates = _read(tmp_path, "t.spintax", "{a|b} \n\n  \n{c|\nd|{e\n}}x\n\\{f\ng")
    assert [(template.text, template.line) for template in templates] == [
        ("{a|b} ", 1),
        ("{c|\nd|{e\n}}x", 4),
        ("\\{f", 7),
        ("g", 8),
    ]
    assert {template.name for template in templates} == {str(tmp_path / "t.spintax")}


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf{a|b\r\nc}\r\nd\r\n", b"{a|b\nc}\nd", b"\xef\xbb\xbf{a|b\nc}\nd\n"])
def test_byte_order_mark_and_line_ends_are_not_text(tmp_path: Path, data: bytes) -> None:
    assert [template.text for template in _read(tmp_path, "t.txt", data)] == ["{a|b\nc}", "d"]


def test_only_newlines_end_a_template(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\x0cd\re\0{\u2029}"
    (template,) = _read(tmp_path, "t.txt", text + "\n")
    assert template.text == text


def test_seed_markdown_is_read_as_it_is_fenced(tmp_path: Path) -> None:
    (template,) = _read(tmp_path, "training.md", SEED_MARKDOWN)
    (same,) = read_templates(ROOT / "data" / "templates" / "cheese.spintax")
    assert template.text == same.text
    assert template.line == SEED_MARKDOWN.split("\n").index("'''spintax") + 2 == 13


def test_markdown_blocks_are_read_in_order(tmp_path: Path) -> None:
    text = (
        "```code``` is no fence\n```spintax\n{a|b}\n{c|\nd}\n```\n````md\n```spintax\nno\n```\n````\n"
        "~~~ spintax title\ne\n~~~~\n- x\n\n  ``` Spintax\n  {f|g}\n  h\n  ```\n`spintax` {i}\n'''spintax\nj\n'''"
    )
    templates = _read(tmp_path, "t.markdown", text)
    assert [(template.text, template.line) for template in templates] == [
        ("{a|b}", 3),
        ("{c|\nd}", 4),
        ("e", 13),
        ("{f|g}", 18),
        ("h", 19),
        ("j", 23),
    ]


def test_errors_point_into_the_markdown_file(tmp_path: Path) -> None:
    path = _write(tmp_path, "t.MD", "# T\n\n  ```spintax\n  ok\n  a {b|c\n  ```\n")
    with pytest.raises(SpintaxError) as raised:
        read_templates(path)
    assert str(raised.value).startswith(f"{path}:5:5: this '{{' is never closed")


def test_open_brace_is_reported_at_its_line_and_column(tmp_path: Path) -> None:
    path = _write(tmp_path, "t.spintax", "{a|b}\n{c|d\n{e|f}\n")
    with pytest.raises(SpintaxError) as raised:
        read_templates(path)
    assert (raised.value.line, raised.value.column) == (2, 1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no.spintax", "there is no such file"),
        ("", "this is a folder"),
        ("a\0b", "cannot be read"),
        ("a" * 5000, "cannot be read"),
    ],
)
def test_paths_that_cannot_be_read_are_refused_with_a_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_templates(tmp_path / name)


def test_unusable_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    for data in ["", "\ufeff", "\n \r\n"]:
        assert "there is no template" in _refusal(tmp_path, "e.spintax", data)
    assert "```spintax" in _refusal(tmp_path, "e.md", "# nothing\n\n```python\n{a|b}\n```\n")
    assert "there is no template" in _refusal(tmp_path, "e.md", "```spintax\n\n```\n")
    assert "e.md:2: this '''spintax block is never closed" in _refusal(tmp_path, "e.md", "\n'''spintax\n{a|b}\n")


def test_bytes_that_are_not_utf8_are_located(tmp_path: Path) -> None:
    assert "t.txt:2: byte 0xe9 at byte offset 6 is not UTF-8;" in _refusal(tmp_path, "t.txt", b"a\ncaf" + b"f\xe9\n")
    assert "offset 4 " in _refusal(tmp_path, "t.txt", b"\xef\xbb\xbfa\xff")
    assert "looks like UTF-16" in _refusal(tmp_path, "t.txt", "{a|b}".encode("utf-16"))


class _Output(io.BytesIO):
    """A standard stream that keeps what is written; the command writes to its buffer."""

    @property
    def buffer(self) -> "_Output":
        return self


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    out, err = _Output(), _Output()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = main(arguments)
    return code, out.getvalue().decode(), err.getvalue().decode()


def test_command_shows_counts_and_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, "{a|b} {x}") == (
        0,
        "template:1: 2 derivations, 2 distinct variants; options per slot: 2 1\n"
        "template:1:7: '{x}' has one option, which is always printed; add '|' and another, "
        "or write \\{ and \\} for braces  [one-option]\n",
        "",
    )
    code, out, _ = _run(monkeypatch, "{x}" * 50)
    assert (code, out.count("\n"), out.split("\n")[-2]) == (0, 22, "and 30 more warnings")


def test_command_draws_and_enumerates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(_write(tmp_path, "t.spintax", "{é|b}\n{c|d|e}\n"))
    assert _run(monkeypatch, path, "--all") == (0, "é\nb\nc\nd\ne\n", "")
    code, out, _ = _run(monkeypatch, path, "-n", "9", "--seed", "3")
    assert (code, sorted(out.split())) == (0, ["b", "c", "d", "e", "é"])
    assert _run(monkeypatch, path, "-n", "2", "--seed", "3")[1] == "".join(out.splitlines(keepends=True)[:2])
    assert _run(monkeypatch, path, "--index", "-5")[1] == "é\n"


def test_command_checks_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, "{a|b} c", "--check", "b c") == (0, "template:1: yes, derivation 1\n", "")
    assert _run(monkeypatch, "{a|b\n} c", "--check", "b\r\n c")[0] == 0
    assert _run(monkeypatch, "{a|b} c", "--check", "b  c") == (
        1,
        "no, this sentence is not a variant of any template\n",
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{a|b"], "template:1:1: this '{' is never closed"),
        (["a}"], "template:1:2: this '}' closes no group"),
        (["no-such.spintax"], "'no-such.spintax': there is no such file"),
        (["x" * 5000], "there is no such file"),
        (["{a|b}", "--index", "2"], "there are 2 derivations, so there is no index 2"),
        (["{a|b}", "-n", "-2"], "cannot draw -2 variants; ask for 1 or more"),
        (["{a|b}", "-n", "0"], "cannot draw 0 variants; ask for 1 or more"),
        (["{a|b}", "--index", "-3"], "there are 2 derivations, so there is no index -3"),
        (["{a|b}", "--watch"], "there is no such file to watch"),
        (["-", "--watch"], "there is no such file to watch"),
        ([str(ROOT), "--watch"], "there is no such file to watch"),
        ([__file__, "--watch", "--all"], "give it alone or with -n"),
        ([str(ROOT)], "this is a folder"),
        (["{a|b\nc}", "--all"], "line break"),
        (["{a|b\nc}", "-n", "1"], "line break"),
        (["{a|b}" * 99, "--all"], "at most 1,000,000,000 are written out"),
        ([""], "'': there is no such file"),
    ],
)
def test_command_ends_with_2_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    code, out, err = _run(monkeypatch, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err


def test_command_runs_as_a_module_and_reads_standard_input() -> None:
    command = [sys.executable, "-m", "tasks.spintax"]
    done = subprocess.run([*command, "-", "--all"], input=b"{a|b}\n", capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == b"a\nb\n"
    done = subprocess.run([*command, "-"], input=b"\xff", capture_output=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"standard input: byte offset 0 is not UTF-8")


def test_command_is_quiet_when_its_reader_leaves() -> None:
    command = [sys.executable, "-m", "tasks.spintax", "{0|1|2|3|4|5|6|7|8|9}" * 7, "--all"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0000000\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_the_document_that_the_project_started_from_holds_one_template() -> None:
    [template] = read_templates(Path(__file__).parent / "seed.md")
    assert template.count == template.distinct == 48_600
