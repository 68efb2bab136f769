"""The verbs of `release`: as commands, which start no server, and as flows."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import release as flows
from flows.cli.command import run_verb
from tasks.parameters import ReleaseParameters
from tasks.settings import ROOT
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.publish import publish
from tests.factories import prefect_records
from tests.factories.commands import Ended, run_script
from tests.factories.prefect_records import run_of

FACTS = {
    "loss_after": 0.52, "loss_floor": 0.5, "git_commit": "c0ffee" * 6, "corpus": {"documents": 6000, "sha256": "a" * 64}
}  # fmt: skip

WITHOUT = """
import atexit, runpy, sys
atexit.register(lambda: print("HEAVY:", *sorted({"prefect", "torch", "transformers", "pandas"} & set(sys.modules))))
sys.argv = sys.argv[1:]
sys.path.insert(0, "flows")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def published(tmp_path: Path) -> list[str]:
    """Two versions of `spinneret` in the folder `store`, the older one first."""
    folder, versions = tmp_path / "release", []
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(5000))
    with open_store(parse_destination(str(tmp_path / "store"))) as store:
        for number in (1, 2):
            (folder / "release.json").write_text(json.dumps({**FACTS, "steps": number}))
            versions.append(publish(store, folder, "spinneret").version)
    return versions


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Run a verb in this process, in a folder where the releases lie in `store`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object, at: str = "store") -> Ended:
        capsys.readouterr()
        given = [*map(str, words), *(["--release.destination", at] if at else [])]
        monkeypatch.setattr(sys, "argv", ["flows/release.py", *given])
        with pytest.raises(SystemExit) as ended:
            run_verb("release", flows.VERBS)
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    return run


def test_list_imports_neither_prefect_nor_anything_heavy(published: list[str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        WITHOUT,
        "flows/release.py",
        "list",
        "--release.destination",
        str(tmp_path / "store"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    shown, _, heavy = done.stdout.rpartition("HEAVY:")
    assert published[1][:12] in shown
    assert heavy.split() == []


def test_list_shows_versions_newest_first_with_loss_size_corpus_and_aliases(
    published: list[str], command: Callable[..., Ended]
) -> None:
    said = command("list").out
    first, second = (next(line for line in said.splitlines() if version[:12] in line) for version in published)
    assert said.index(second) < said.index(first)
    for shown in ("0.520 (floor 0.500)", "0.0 MiB", "6,000 documents, aaaaaaaaaaaa", "c0ffeec0ffee"):
        assert shown in first
    assert "latest" in second
    assert "2 versions of spinneret in store" in said


def test_json_is_one_object_for_programs(published: list[str], command: Callable[..., Ended]) -> None:
    listed = json.loads(command("list", "--json").out)
    assert [one["version"] for one in listed["versions"]] == published[::-1]
    assert listed["versions"][0]["facts"] == {**FACTS, "steps": 2}
    assert [(one["alias"], one["version"], one["previous"]) for one in listed["aliases"]] == [
        ("latest", published[1], published[0])
    ]
    shown = json.loads(command("show", "--json").out)
    assert shown["version"]["version"] == published[1]
    assert shown["files"]["model.safetensors"][0] == 5000
    for words in (["promote", "latest"], ["rollback", "--alias", "latest"], ["verify"], ["prune"], ["abort-stale"]):
        assert isinstance(json.loads(command(*words, "--json").out), dict)


def test_promote_and_rollback_move_an_alias(published: list[str], command: Callable[..., Ended]) -> None:
    older, newer = published
    assert f"spinneret@champion names {older[:12]} now (move 1)" in command("promote", older[:8]).out
    assert f"names {newer[:12]} now, before it named {older[:12]} (move 2)" in command("promote", "latest").out
    assert f"champion names {newer[:12]} already" in command("promote", "spinneret@latest").out
    back = command("rollback", "--alias", "champion")
    assert f"names {older[:12]} now, before it named {newer[:12]} (move 3)" in back.out
    assert f"has named no version before {older[:12]}" in command("rollback").sentence
    version = f"store/spinneret@{newer}"
    assert "names" in command("promote", version, "--alias", "best", at="").out


def test_fetch_downloads_a_release_once_and_never_over_other_files(
    published: list[str], command: Callable[..., Ended], tmp_path: Path
) -> None:
    first = command("fetch", "spinneret@latest", "here")
    assert "2 files" in first.out
    assert (tmp_path / "here" / "model.safetensors").read_bytes() == bytes(5000)
    assert "was there already" in command("fetch", "latest", "here").out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "letter.txt is not part of it" in command("fetch", "latest", "mine").sentence
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_verify_exits_with_2_if_a_byte_is_wrong(
    published: list[str], command: Callable[..., Ended], tmp_path: Path
) -> None:
    assert "is whole: 2 files" in command("verify", "spinneret@latest").out
    [file] = (tmp_path / "store").rglob(f"{published[1]}/model.safetensors")
    file.write_bytes(bytes(4999) + b"!")
    assert "is damaged: model.safetensors has the sha256" in command("verify").sentence
    assert command("verify", published[0]).code == 0


def test_prune_is_a_dry_run_by_default(published: list[str], command: Callable[..., Ended]) -> None:
    assert "would delete 0 versions of spinneret and keep 2" in command("prune", "--keep", "1").out
    assert "deleted 0 versions of spinneret; 2 kept" in command("prune", "--keep", "1", "--no-dry-run").out


def test_a_mistake_is_reported_in_one_sentence(
    published: list[str], command: Callable[..., Ended], tmp_path: Path
) -> None:
    for words, sentence in (
        (["promot", "x"], "'promot' is not a verb of release; did you mean promote?"),
        (["promote"], "requires an argument"),
        (["promote", "nothing"], "no release spinneret@nothing: it has the aliases latest"),
        (["promote", "latest", "--alias", "a/b"], "the alias 'a/b' has the unsafe part"),
        (["promote", "latest", "--alias", "f" * 64], "not look like a version"),
        (["list", "--keep", "1"], "--keep"),
        (["show", "--release.name", "../x"], "--release.name"),
        (["prune", "--keep", "many"], "--keep"),
        (["prune", "--keep", "0"], "--keep: got 0, it should be greater than or equal to 1"),
        (
            ["abort-stale", "--older-than-hours", "-1"],
            "--older-than-hours: got -1.0, it should be greater than or equal",
        ),
    ):
        assert sentence in command(*words).sentence
    assert "nowhere holds no releases" in command("list", at="nowhere").sentence
    assert not (tmp_path / "nowhere").exists()


def test_a_name_without_releases_is_listed_with_the_names_that_have_some(
    published: list[str], command: Callable[..., Ended]
) -> None:
    said = command("list", "--release.name", "other").out
    assert said.strip() == "0 versions of other in store; also published there: spinneret (--release.name)"


def test_help_names_every_verb_and_each_verb_explains_its_arguments() -> None:
    shown = run_script("release")
    assert shown.code == 0
    for verb, function in flows.VERBS.items():
        assert f"  {verb:<12} {(function.__doc__ or '').splitlines()[0]}" in shown.out
    one = run_script("release", "prune", "--help", COLUMNS="200")
    assert "How many of the newest versions stay in any case. [default: 10]" in one.out
    assert one.code == 0


def test_control_characters_and_markup_of_a_store_are_shown_as_text(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "r").mkdir()
    facts: dict[str, Any] = {**FACTS, "git_commit": "\x1b[31m|`x`", "note": "[b]<script>"}
    (tmp_path / "r" / "release.json").write_text(json.dumps(facts))
    with open_store(parse_destination("store")) as store:
        publish(store, tmp_path / "r", "spinneret")
    assert "\x1b" not in command("list").out + command("show").out
    assert "[b]<script>" in command("show").out


@pytest.mark.parametrize(
    "verb",
    [
        "list",
        "promote",
        *(
            pytest.param(verb, marks=pytest.mark.slow)
            for verb in ("show", "rollback", "verify", "prune", "abort-stale")
        ),
    ],
)
def test_each_verb_is_a_flow_whose_answer_is_an_artifact(
    verb: str, published: list[str], server: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"release": ReleaseParameters(destination=str(tmp_path / "store"))}
    given |= {"promote": {"version": published[0]}, "rollback": {"alias": "latest"}}.get(verb, {})
    flow: Any = getattr(flows, {"list": "list_releases", "abort-stale": "abort_stale"}.get(verb, verb))
    assert flow.name == f"release-{verb}"
    state = flow(**given, return_state=True)
    assert state.is_completed(), state.message
    [shown] = prefect_records.read_artifacts(run_of(state), flow.name)
    assert "spinneret" in str(shown.data)


def test_the_form_of_a_flow_has_the_descriptions_and_limits_of_the_command() -> None:
    properties = flows.prune.parameters.properties
    assert "How many of the newest versions stay" in properties["keep"]["description"]
    assert properties["keep"]["minimum"] == 1
    assert properties["dry_run"]["default"] is True
