import yaml

from tasks.evaluation.card import model_card
from tests.tasks import making


def card(name: str = "cheese", base: str = "scratch-tiny") -> str:
    return model_card(name, base, making.corpus(), making.blocks(), making.weights())


def test_the_card_has_front_matter_that_hubs_can_read() -> None:
    _, front, body = card().split("---\n", maxsplit=2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["spinneret", "happytransformer"],
    }
    assert body.startswith("# cheese\n")


def test_the_card_states_what_the_model_was_made_of() -> None:
    text = card()
    for said in ("`scratch-tiny`", "12 documents of 12", "1" * 64, "90 tokens in 3 blocks", "3 optimizer steps"):
        assert said in text
    assert "| held-out loss before | 6.0000 nats a token |" in text
    assert "| held-out loss after | 5.5000 nats a token |" in text


def test_the_card_depends_on_no_time() -> None:
    slower = making.weights(seconds=99.0)
    assert model_card("n", "b", making.corpus(), making.blocks(), slower) == card("n", "b")
