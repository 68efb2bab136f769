import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.storage.manifest import SCHEMA, build_manifest, parse_manifest, scan
from tests.storage.hostile import UNSAFE_PATHS

SHA = "a" * 64


def manifest_of(files: Any, **changes: Any) -> tuple[bytes, str]:
    content = {"schema": SCHEMA, "name": "jokes", "files": files} | changes
    data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return data, hashlib.sha256(data).hexdigest()


def entry(size: Any = 1, sha256: Any = SHA) -> dict[str, Any]:
    return {"size": size, "sha256": sha256}


def test_a_parsed_manifest_equals_the_built_one(release: Path) -> None:
    built = build_manifest("jokes", scan(release))
    assert parse_manifest(built.data, built.version) == built
    assert list(built.files) == ["config.json", "model.safetensors", "samples/texts@1.txt"]
    assert built.size == 102_413


def test_equal_content_has_an_equal_version_and_other_content_another(release: Path) -> None:
    before = build_manifest("jokes", scan(release)).version
    os.utime(release / "config.json", (1, 1))
    assert build_manifest("jokes", scan(release)).version == before
    (release / "config.json").write_text('{"layers": 3}')
    assert build_manifest("jokes", scan(release)).version != before
    assert manifest_of({"a": entry()})[1] != manifest_of({"a": entry()}, name="other")[1]


def test_an_etag_is_the_md5_or_the_md5_of_the_md5s_of_the_parts(tmp_path: Path) -> None:
    half = bytes(16 * 2**20)
    (tmp_path / "two").write_bytes(half + b"x")
    (scanned,) = scan(tmp_path)
    parts = hashlib.md5(half).digest() + hashlib.md5(b"x").digest()
    for etag in (hashlib.md5(half + b"x").hexdigest(), f"{hashlib.md5(parts).hexdigest()}-2", scanned.sha256):
        assert scanned.matches_etag(f'"{etag.upper()}"')
    for etag in ("", hashlib.md5(half).hexdigest(), f"{hashlib.md5(parts).hexdigest()}-1", "a" * 64):
        assert not scanned.matches_etag(etag)


def test_a_manifest_that_is_not_its_own_hash_is_refused() -> None:
    data, version = manifest_of({"a": entry()})
    assert parse_manifest(data, version)
    with pytest.raises(InputError, match="damaged"):
        parse_manifest(data.replace(b'"size":1', b'"size":2'), version)


@pytest.mark.parametrize("path", UNSAFE_PATHS)
def test_an_unsafe_path_in_a_manifest_is_refused(path: str) -> None:
    with pytest.raises(InputError):
        parse_manifest(*manifest_of({path: entry()}))


@pytest.mark.parametrize(
    "paths", [["a", "A"], ["a/x", "A/y"], ["a", "a/b"], ["A", "a/b"], ["config.json", "config.json/x"]]
)
def test_paths_that_cannot_coexist_are_refused(paths: list[str]) -> None:
    with pytest.raises(InputError, match=r"only in case|both a file and a folder"):
        parse_manifest(*manifest_of(dict.fromkeys(paths, entry())))


@pytest.mark.parametrize(
    "bad",
    [
        manifest_of({}),
        manifest_of([]),
        manifest_of({"a": entry()}, schema="other/1"),
        manifest_of({"a": entry()}, name="../x"),
        manifest_of({"a": entry()}, extra=1),
        manifest_of({"a": entry(size=-1)}),
        manifest_of({"a": entry(size=True)}),
        manifest_of({"a": entry(size=1.0)}),
        manifest_of({"a": entry(sha256="A" * 64)}),
        manifest_of({"a": entry(sha256=None)}),
        manifest_of({"a": entry() | {"mode": 7}}),
        manifest_of({"a": {"size": 1}}),
        (b"[]", hashlib.sha256(b"[]").hexdigest()),
        (b"\xff", hashlib.sha256(b"\xff").hexdigest()),
        (b"[" * 99_999, hashlib.sha256(b"[" * 99_999).hexdigest()),
    ],
)
def test_a_manifest_of_another_form_is_refused(bad: tuple[bytes, str]) -> None:
    with pytest.raises(InputError):
        parse_manifest(*bad)


@pytest.mark.parametrize(
    "name", ["a b.txt", ".DS_Store", "model.bin", "weights.pt", "x.pkl", "run.py", "manifest.json"]
)
def test_an_unsafe_file_is_not_scanned(release: Path, name: str) -> None:
    (release / name).write_bytes(b"x")
    with pytest.raises(InputError, match=name):
        scan(release)


def test_a_symlink_is_not_followed(release: Path) -> None:
    (release / "link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"link is a symlink"):
        scan(release)


def test_a_linked_folder_and_a_pipe_are_refused(release: Path) -> None:
    os.mkfifo(release / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        scan(release)
    (release / "pipe").unlink()
    (release / "linked").symlink_to("samples")
    with pytest.raises(InputError, match=r"linked is a symlink"):
        scan(release)


def test_names_that_differ_only_in_case_are_not_scanned(release: Path) -> None:
    (release / "CONFIG.json").write_text("{}")
    if len(list(release.glob("*.json"))) == 1:
        pytest.skip("this file system is not case-sensitive")
    with pytest.raises(InputError, match="only in case"):
        scan(release)


def test_an_empty_or_missing_folder_is_not_a_release(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file"):
        scan(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        scan(tmp_path / "none")
