"""Stage folders in an object store: another machine gets exactly what was shared, or nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.parameters import ReleaseParameters
from tasks.registry.verbs import prune
from tasks.settings import settings
from tasks.stage.folders import Facts, list_files
from tasks.stage.references import Base, ModelReference
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.embedded_server import LOCAL_BUCKET, Endpoint
from tasks.training.sharing import forget, obtain, obtain_model, obtain_same, share, share_model
from tests.factories.folders import names
from tests.factories.waiting import no_file_larger_than
from tests.storage.gate import gate_before

KEY = "ab" * 32
RELEASE = ReleaseParameters(destination=f"s3://{LOCAL_BUCKET}/team")
FACTS = {"parameters": 7, "vocabulary": 3}


def made(text: str = "weights") -> Base:
    def fill(folder: Path) -> Facts:
        (folder / "below").mkdir()
        (folder / "below" / "model.bin").write_text(text)
        (folder / "config.json").write_text("{}")
        return FACTS

    return Base.make(KEY, fill)


def on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINNERET_DATA", str(tmp_path / "elsewhere"))
    settings.cache_clear()


def delete(path: str) -> None:
    with open_store(parse_destination(RELEASE.destination)) as store:
        store.client.delete_object(Bucket=store.bucket, Key=store.key("stages", "base", KEY, path))


@pytest.fixture
def stored(remote: Endpoint, remote_folder: Path) -> Path:
    """Where the server keeps the shared folder."""
    return remote_folder / LOCAL_BUCKET / "team" / "stages" / "base" / KEY


def test_another_machine_obtains_a_shared_folder(
    remote: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = made()
    files = list_files(here.folder)
    share(here, RELEASE)
    on_another_machine(tmp_path, monkeypatch)
    assert Base.find(KEY) is None
    assert obtain(Base, KEY, RELEASE) == here
    assert list_files(settings().data / "base" / KEY) == files
    obtain_same(Base, here.key, here.sha256, RELEASE)


def test_a_shared_folder_is_not_sent_again(remote: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    here = made()
    share(here, RELEASE)
    with gate_before(remote.url) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gate.url)
        share(here, RELEASE)
    sent = [path for method, path in gate.requests if method == "PUT"]
    assert [path.rpartition("/")[2] for path in sent] == ["manifest.json"]


def test_a_folder_that_is_not_shared_is_not_found(remote: Endpoint) -> None:
    assert obtain(Base, KEY, RELEASE) is None
    missing = Base(key=KEY, sha256="0" * 64, **FACTS)
    with pytest.raises(InputError, match=f"^base {KEY[:12]} is neither on this machine nor in {RELEASE.destination};"):
        obtain_same(Base, missing.key, missing.sha256, RELEASE)


def test_an_interrupted_copy_counts_as_absent(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share(made(), RELEASE)
    delete("manifest.json")
    on_another_machine(tmp_path, monkeypatch)
    assert obtain(Base, KEY, RELEASE) is None


def test_a_damaged_copy_is_refused_and_leaves_nothing(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(made(), RELEASE)
    (stored / "config.json").write_text("[]")
    on_another_machine(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        obtain(Base, KEY, RELEASE)
    assert names(settings().data / "base") == []


def test_a_full_disk_is_an_input_error(remote: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share(made("x" * 200_000), RELEASE)
    on_another_machine(tmp_path, monkeypatch)
    with no_file_larger_than(100_000), pytest.raises(InputError, match=r"^The disk is full"):
        obtain(Base, KEY, RELEASE)
    assert names(settings().data / "base") == []


def test_different_content_under_the_same_key_is_refused(remote: Endpoint) -> None:
    here = made()
    other = here.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(InputError, match="has different content than on the machine that made it"):
        obtain_same(Base, other.key, other.sha256, RELEASE)


def test_a_folder_older_than_a_time_is_removed_here_and_in_the_store(remote: Endpoint) -> None:
    began = datetime.now(UTC)
    here = made()
    share(here, RELEASE)
    forget(Base, KEY, RELEASE, began - timedelta(minutes=1))
    assert Base.find(KEY) == here
    forget(Base, KEY, RELEASE, began + timedelta(minutes=1))
    assert obtain(Base, KEY, RELEASE) is None


def test_a_preset_is_shared_and_a_hub_id_is_left_to_the_other_machine(
    remote: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = made()
    preset = ModelReference.in_folder(
        here.folder, name="scratch-tiny", type="GPT-NEO", sha256=here.sha256, preset="scratch-tiny"
    )
    hub = ModelReference(name="EleutherAI/gpt-neo-125m", type="GPT-NEO", sha256="c" * 40, revision="c" * 40)
    for model in (preset, hub):
        share_model(model, RELEASE)
    on_another_machine(tmp_path, monkeypatch)
    for model in (preset, hub):
        obtain_model(model, RELEASE)
    assert (Path(preset.load_from) / "config.json").is_file()


def test_a_local_model_folder_cannot_be_shared(tmp_path: Path) -> None:
    own = ModelReference.in_folder(tmp_path, name="own", type="GPT-NEO", sha256="d" * 64)
    with pytest.raises(InputError, match=r"^--model\.name own is a folder of this machine, but another machine"):
        share_model(own, RELEASE)


def test_shared_folders_are_pruned_after_a_day_without_use(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share(made(), RELEASE)
    assert prune(release=RELEASE, dry_run=False).stages == ()
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    monkeypatch.setattr("tasks.storage.prune.now", lambda store: tomorrow)
    pruned = prune(release=RELEASE)
    assert pruned.stages == (f"base/{KEY}",)
    assert "1 shared stage folder" in pruned.sentence()
    assert (stored / "manifest.json").is_file()
    prune(release=RELEASE, dry_run=False)
    assert not list(stored.rglob("*.json"))


def test_a_shared_folder_that_is_used_again_counts_as_new(stored: Path) -> None:
    here = made()
    share(here, RELEASE)
    before = (stored / "manifest.json").stat().st_mtime_ns
    share(here, RELEASE)
    assert (stored / "manifest.json").stat().st_mtime_ns > before
