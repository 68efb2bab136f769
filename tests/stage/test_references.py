from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.settings import settings
from tasks.stage.folders import Facts
from tasks.stage.lineage import Release
from tasks.stage.references import Corpus, ModelReference, Package, Reference, Report, Samples
from tests.factories import references

RELEASE = Release(
    name="n", destination="d", version="v" * 64, uri="d/n@v", files=2, bytes=5_000_000, uploaded_files=1,
    uploaded_bytes=3 * 2**20, copied_files=0, seconds=2.0, champion=True,
)  # fmt: skip


def fill(folder: Path) -> Facts:
    (folder / "samples.json").write_text("[]")
    return {"count": 0, "valid": None}


def package(folder: Path) -> Facts:
    (folder / "x").write_text("y")
    return {}


@pytest.mark.parametrize(
    "reference",
    [
        references.corpus(),
        references.corpus(derivations=None),
        references.blocks(),
        references.weights(),
        references.model(),
        RELEASE,
    ],
    ids=lambda reference: type(reference).__name__,
)
def test_a_reference_goes_through_json_unchanged(reference: Reference) -> None:
    assert type(reference).model_validate_json(reference.model_dump_json()) == reference


def test_a_reference_cannot_be_changed_and_takes_no_unknown_field() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        references.corpus().documents = 3
    with pytest.raises(ValidationError, match="folder"):
        references.corpus(folder="/elsewhere")


def test_making_a_second_time_finds_the_first_and_fills_nothing() -> None:
    made = Samples.make("k" * 64, fill)
    assert made == Samples.find("k" * 64)
    assert Samples.make("k" * 64, lambda folder: pytest.fail("filled again")) == made


def test_a_missing_folder_is_not_found() -> None:
    assert Samples.find("k" * 64) is None


def test_a_reference_is_found_after_the_data_folder_has_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Samples.make("k" * 64, fill)
    assert str(tmp_path) not in made.model_dump_json()
    settings().data.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("SPINNERET_DATA", str(tmp_path / "elsewhere"))
    settings.cache_clear()
    assert Samples.find("k" * 64) == made
    assert (made.folder / "samples.json").read_text() == "[]"
    assert made.folder.is_relative_to(tmp_path / "elsewhere")


def test_the_digest_is_that_of_the_content_and_not_of_the_key() -> None:
    one, same = Samples.make("a" * 64, fill), Samples.make("b" * 64, fill)
    other = Package.make("c" * 64, package)
    assert one.sha256 == same.sha256 != other.sha256


def test_a_relative_data_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPINNERET_DATA", "some/../here")
    settings.cache_clear()
    assert settings().data == tmp_path / "here"


def test_a_model_in_the_data_folder_moves_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = ModelReference.in_folder(settings().data / "base" / "k", name="n", type="GPT2", sha256="s")
    outside = ModelReference.in_folder(tmp_path / "mine", name="n", type="GPT2", sha256="s")
    assert inside.path == "base/k"
    monkeypatch.setenv("SPINNERET_DATA", str(tmp_path / "elsewhere"))
    settings.cache_clear()
    assert inside.load_from == str(tmp_path / "elsewhere" / "base" / "k")
    assert outside.load_from == str(tmp_path / "mine")


def test_a_hub_model_is_loaded_by_its_id() -> None:
    assert ModelReference(name="a/b", type="GPT2", sha256="c", revision="c").load_from == "a/b"


def test_descriptions_have_the_counts() -> None:
    assert references.corpus(documents=1234, duplicates=5).describe() == (
        "1,234 documents of 12 (5 duplicate, 0 empty, 0 rejected), 11 to train on, 1 held out"
    )
    assert "3 rejected" in references.corpus(rejected={"short": 1, "long": 2}).describe()
    assert Report(key="k", sha256="s", floor=0.5, warnings=1).describe() == "loss floor 0.500 nats per token, 1 warning"
    assert Report(key="k", sha256="s", floor=None, warnings=0).describe() == "no known loss floor, 0 warnings"
    assert Corpus.model_validate(references.corpus(derivations=None)).describe().startswith("12 documents (0 duplicate")
    assert "90 tokens in 3 blocks of 32 to train on, 8 in 1 held out" in references.blocks().describe()
    assert "6.000 before, 5.500 after" in references.weights().describe()
    assert Samples(key="k", sha256="s", count=3, valid=None).describe() == "3 samples"
    assert Samples(key="k", sha256="s", count=3, valid=1).describe() == "3 samples, 1 of them sentences of the template"
    assert RELEASE.describe() == "d/n@v (2 files, 5,000,000 bytes; 1 file uploaded, 3.0 MiB in 2.0 s, 1.5 MiB/s)"
    copied = RELEASE.model_copy(update={"copied_files": 1})
    assert "1 file uploaded, 1 file copied inside the store, 3.0 MiB" in copied.describe()
    assert "cached, nothing uploaded" in RELEASE.model_copy(update={"uploaded_files": 0}).describe()
