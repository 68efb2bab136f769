"""The verdict on a challenger, and its reasons."""

from math import inf, nan

import pytest

from tasks.evaluation.models.bootstrap import HeldOutLosses, PairedComparison, paired_bootstrap
from tasks.evaluation.models.gate import Guard, Guards, Measured, Verdict, decide

OFF = Guards()
ALL = Guards(max_loss=3.0, min_valid=0.9, max_copied=0.5, max_repetition=0.1)
GOOD = Measured(loss=3.0, valid=0.9, copied=0.5, repetition=0.1)


def compared(challenger: list[float], incumbent: list[float]) -> PairedComparison:
    tokens = (1,) * len(challenger)
    return paired_bootstrap(HeldOutLosses(tuple(challenger), tokens), HeldOutLosses(tuple(incumbent), tokens), 0)


BETTER = compared([2.0] * 8, [2.5] * 8)
WORSE = compared([2.5] * 8, [2.0] * 8)
EQUAL = compared([2.0] * 8, [2.0] * 8)
NOISE = compared([2.0, 1.0] * 4, [1.0, 2.0] * 4)
ALONE = compared([2.0], [9.0])


def test_a_challenger_that_is_better_by_more_than_noise_is_promoted() -> None:
    assert decide(BETTER, guards=OFF, measured=Measured()) == Verdict(
        promote=True,
        opponent="base model",
        reasons=(
            "the challenger beats the base model: -0.5 nats per document on 8 held-out documents (95 % interval -0.5 "
            "to -0.5, better in 100.0 % of 10,000 resamples)",
        ),
        comparison=BETTER,
        guards=(),
    )


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (WORSE, "the challenger is worse than the champion 1f2e: +0.5 nats per document"),
        (EQUAL, "the challenger has the same loss as the champion 1f2e: 0 nats per document"),
        (NOISE, "the challenger is not better by more than noise than the champion 1f2e: 0 nats per document"),
        (ALONE, "one held-out document has no interval, so no difference is more than noise: -7 nats against"),
        (compared([nan, 1.0], [2.0, 2.0]), "the challenger's held-out loss is not finite, so it cannot be compared"),
        (compared([1.0, 1.0], [2.0, inf]), "the champion 1f2e's held-out loss is not finite, so it cannot be compared"),
    ],
)
def test_a_challenger_within_the_noise_is_refused_with_a_reason(comparison: PairedComparison, said: str) -> None:
    verdict = decide(comparison, opponent="1f2e", guards=OFF, measured=Measured())
    assert not verdict.promote
    assert verdict.opponent == "1f2e"
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith(said)


def test_a_limit_itself_is_within_the_guard() -> None:
    verdict = decide(BETTER, guards=ALL, measured=GOOD)
    assert verdict.promote
    assert verdict.guards == (
        Guard(name="max_loss", limit=3.0, value=3.0, passed=True),
        Guard(name="min_valid", limit=0.9, value=0.9, passed=True),
        Guard(name="max_copied", limit=0.5, value=0.5, passed=True),
        Guard(name="max_repetition", limit=0.1, value=0.1, passed=True),
    )
    assert verdict.reasons[1:] == (
        "the held-out loss in nats per token is 3, within max_loss = 3",
        "the share of valid samples is 90.0 %, within min_valid = 90.0 %",
        "the share that is copied from the training documents is 50.0 %, within max_copied = 50.0 %",
        "the share that is repeated is 10.0 %, within max_repetition = 10.0 %",
    )


@pytest.mark.parametrize(
    ("measured", "name", "said"),
    [
        (Measured(3.01, 0.9, 0.5, 0.1), "max_loss", "the held-out loss in nats per token is 3.010, above max_loss = 3"),
        (Measured(3.0, 0.8, 0.5, 0.1), "min_valid", "the share of valid samples is 80.0 %, below min_valid = 90.0 %"),
        (Measured(3.0, 0.9, 0.6, 0.1), "max_copied", "documents is 60.0 %, above max_copied = 50.0 %"),
        (Measured(3.0, 0.9, 0.5, 1.0), "max_repetition", "repeated is 100.0 %, above max_repetition = 10.0 %"),
        (Measured(3.0, None, 0.5, 0.1), "min_valid", "cannot be measured here, and min_valid is set to 90.0 %"),
        (Measured(3.0, 0.9, nan, 0.1), "max_copied", "cannot be measured here, and max_copied is set to 50.0 %"),
    ],
)
def test_each_guard_refuses_alone(measured: Measured, name: str, said: str) -> None:
    verdict = decide(BETTER, guards=ALL, measured=measured)
    assert not verdict.promote
    assert [guard.name for guard in verdict.guards if not guard.passed] == [name]
    beats, failed = verdict.reasons
    assert beats.startswith("the challenger beats the base model")
    assert failed.endswith(said)


def test_a_refusal_names_all_reasons() -> None:
    verdict = decide(WORSE, guards=ALL, measured=Measured(9.0, 0.1, 0.9, 0.9))
    assert len(verdict.reasons) == 5


def test_a_guard_that_is_not_set_does_not_matter() -> None:
    verdict = decide(BETTER, guards=Guards(max_loss=3.0), measured=Measured(3.0, 0.0, 1.0, 1.0))
    assert verdict.promote
    assert [guard.name for guard in verdict.guards] == ["max_loss"]


@pytest.mark.parametrize("loss", [inf, nan])
def test_a_loss_that_is_not_finite_is_never_promoted(loss: float) -> None:
    assert decide(BETTER, guards=OFF, measured=Measured(loss=loss)).reasons[1:] == (
        "the challenger's held-out loss is not finite",
    )
    for guards in (OFF, ALL):
        verdict = decide(BETTER, guards=guards, measured=Measured(loss, 0.9, 0.5, 0.1))
        assert not verdict.promote
        assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_few_documents_cause_a_warning() -> None:
    few = decide(compared([1.0] * 5, [2.0] * 5), guards=OFF, measured=Measured())
    assert few.promote
    assert few.reasons[1:] == ("5 held-out documents are few: the interval is narrower than it should be",)


@pytest.mark.parametrize(("comparison", "otherwise"), [(BETTER, "would promote it, too"), (WORSE, "would refuse it")])
def test_a_gate_that_is_off_always_promotes_and_says_so(comparison: PairedComparison, otherwise: str) -> None:
    verdict = decide(comparison, guards=ALL, measured=GOOD, gate="off")
    without = decide(comparison, guards=ALL, measured=GOOD)
    assert verdict.promote
    assert verdict.reasons == (
        f"the gate is off, so the challenger is promoted; if it were on, it {otherwise}", *without.reasons
    )  # fmt: skip
    assert verdict.guards == without.guards


def test_a_verdict_survives_json() -> None:
    for comparison in (BETTER, NOISE, ALONE, compared([nan, 1.0], [2.0, 2.0])):
        verdict = decide(comparison, guards=ALL, measured=Measured())
        assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize("wrong", [{"min_valid": 1.5}, {"max_copied": -0.1}, {"max_loss": nan}, {"max_los": 1.0}])
def test_an_impossible_limit_is_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Guards.model_validate(wrong)
