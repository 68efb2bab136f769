"""The corpus stage: what is drawn, how sources mix, what is held out, and what is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.corpus import check_sources, corpus_key, make_corpus
from tasks.dataset import read_jsonl_documents
from tasks.errors import InputError
from tasks.parameters import CorpusParameters
from tasks.settings import ROOT
from tasks.spintax import Template
from tasks.stage.contents import load_templates, read_sources
from tasks.stage.references import Corpus

SEED = "75261bb3d67b57acd038aedbcc2c76500723f4152f8c8ca618b465bcbbd32085"
"""The sha256 of the seed's sentences, sorted by code point, each with a line end."""

SLOTS = "{a|b|c} {d|e|f|g} {h|i} {j|k|l}"


def make(**rules: Any) -> Corpus:
    return make_corpus.fn(CorpusParameters(**rules))


def documents(corpus: Corpus, *splits: str) -> list[str]:
    return [
        text for split in splits or ("train", "eval") for text in read_jsonl_documents(corpus.folder / f"{split}.jsonl")
    ]


def test_the_sentences_of_the_example_template_never_change() -> None:
    made = make(num_documents=48_600, order="sorted", source=(str(ROOT / "data" / "templates" / "cheese.spintax"),))
    assert (made.read, made.documents, made.train_documents, made.eval_documents) == (48_600, 48_600, 43_740, 4_860)
    train, held_out = documents(made, "train"), documents(made, "eval")
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    everything = "".join(f"{text}\n" for text in sorted(train + held_out))
    assert hashlib.sha256(everything.encode()).hexdigest() == SEED


def test_fewer_documents_are_drawn_and_more_are_all_variants() -> None:
    few, all_of_them, more = (make(template=SLOTS, num_documents=number) for number in (10, 72, 1000))
    assert (few.documents, all_of_them.documents, more.documents) == (10, 72, 72)
    assert set(documents(few)) < set(documents(all_of_them)) == set(Template.parse(SLOTS))


def test_another_seed_draws_and_holds_out_something_else() -> None:
    drawn = [set(documents(make(template=SLOTS, num_documents=20, seed=seed))) for seed in range(3)]
    pairs = {
        read_sources(make(template=SLOTS, num_documents=72, split="combination", seed=seed)).pairs for seed in range(3)
    }
    assert drawn[0] != drawn[1] != drawn[2]
    assert len(pairs) == 3


def test_templates_of_equal_size_are_drawn_independently(tmp_path: Path) -> None:
    path = tmp_path / "two.spintax"
    path.write_text("\n".join(prefix + " {0|1|2|3|4|5|6|7|8|9}" * 3 for prefix in ("one", "two")))
    drawn = documents(make(source=(str(path),), num_documents=40))
    one, two = ({text[3:] for text in drawn if text.startswith(prefix)} for prefix in ("one", "two"))
    assert len(one) == len(two) == 20
    assert one != two


@pytest.mark.parametrize("seed", range(5))
def test_a_combination_split_never_trains_on_a_held_out_pair_and_trains_on_every_option(seed: int) -> None:
    made = make(template=SLOTS, num_documents=72, split="combination", seed=seed, eval_fraction=0.15)
    template = Template.parse(SLOTS)
    [pairs] = read_sources(made).pairs
    held = {text for index, text in enumerate(template) if any(pair.is_in(template.choices(index)) for pair in pairs)}
    train, held_out = set(documents(made, "train")), set(documents(made, "eval"))
    assert held_out == held
    assert train == set(template) - held
    assert all(any(option in text.split() for text in train) for slot in template.slots for option in slot)
    assert 0 < len(held) <= 0.15 * 72


def test_held_out_documents_past_the_maximum_are_not_trained_on() -> None:
    rules: dict[str, Any] = dict(template=SLOTS, num_documents=72, split="combination", eval_fraction=0.15)
    whole, capped = make(**rules), make(**rules, max_eval_documents=2)
    assert documents(capped, "train") == documents(whole, "train")
    assert documents(capped, "eval") == documents(whole, "eval")[:2]
    assert capped.rejected == {"held_out_surplus": whole.eval_documents - 2}
    assert capped.read == capped.documents + sum(capped.rejected.values())


def test_templates_mix_by_derivations_or_equally(tmp_path: Path) -> None:
    path = tmp_path / "two.spintax"
    path.write_text("small {a|b|c|d|e|f|g|h|i|j}\n" + "large " + "{0|1|2|3|4|5|6|7|8|9}" * 3 + "\n")
    counts = {}
    for mix in ("derivations", "equal"):
        made = make(source=(str(path),), num_documents=101, mix=mix)
        assert made.documents == 101
        small = sum(text.startswith("small") for text in documents(made))
        assert [source.documents for source in read_sources(made).sources] == [small, 101 - small]
        counts[mix] = small
    assert counts == {"derivations": 1, "equal": 10}


def test_sources_json_has_no_path_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "one.spintax").write_text("\n{a|b} {c|d}\n")
    (tmp_path / "two.txt").write_text("own\nown\n\na c\n")
    made = make(source=(str(tmp_path / "two.txt"), str(tmp_path / "one.spintax")))
    assert str(tmp_path) not in (made.folder / "sources.json").read_text()
    spun, own = read_sources(made).sources
    assert (spun.name, spun.line, spun.template, spun.documents) == ("one.spintax", 2, "{a|b} {c|d}", 4)
    assert (own.name, own.line, own.template, own.documents) == ("two.txt", None, None, 4)
    assert own.sha256 == hashlib.sha256(b"own\nown\n\na c\n").hexdigest()
    assert (made.read, made.documents, made.duplicates, made.empty) == (8, 5, 2, 1)
    assert load_templates(made) == []
    assert [template.text for template in read_sources(made).templates()] == ["{a|b} {c|d}"]


def test_near_duplicates_in_text_files_are_rejected(tmp_path: Path) -> None:
    words = " ".join(f"w{number}" for number in range(40))
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in (words, words + " x", "a", "b")))
    assert make(source=(str(path),)).rejected == {}
    assert make(source=(str(path),), near_duplicates=0.8).rejected == {"near_duplicate": 1}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"template": SLOTS, "near_duplicates": 0.7}, r"^--corpus\.near-duplicates is for text files"),
    ({"template": "{a|b|c}", "split": "combination"}, r"^--corpus\.split combination .* no template has two groups"),
    ({"source": ("own.txt",), "split": "combination"}, r"^--corpus\.split combination .* own\.txt is a text file"),
    ({"source": ()}, r"^--corpus\.source names no file"),
    ({"source": ("own.docx",)}, r"the file extension '\.docx' is not one of \.spintax, "),
]


@pytest.mark.parametrize(("rules", "says"), REFUSED, ids=[says[:40] for _, says in REFUSED])
def test_rules_that_do_not_fit_the_sources_are_refused_before_anything_is_made(
    rules: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("own.txt", "own.docx"):
        (tmp_path / name).write_text("one\ntwo\n")
    corpus = CorpusParameters(**rules)
    with pytest.raises(InputError, match=says):
        check_sources(corpus)
    with pytest.raises(InputError, match=says):
        make_corpus.fn(corpus)
    assert not Corpus.folder_of(corpus_key(corpus)).exists()


def test_lengths_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_characters \(9\) is larger than max_characters \(3\): lower it"):
        CorpusParameters(min_characters=9, max_characters=3)
