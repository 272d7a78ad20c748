"""Which model is live, who decided, and what the gate objects to."""

import threading
from typing import Any

import pytest
from django.db import connection

from classifier.core.errors import NotAllowedNow
from classifier.core.models import AuditEntry, User
from classifier.registry.models import ModelVersion, Promotion
from classifier.training import gate
from classifier.training.promotions import PromotionRefused, promote_version, roll_back
from classifier.training.services import request_comparison
from tests.people import signed_in
from tests.retraining import compared, judgement, person, promoted, ready_dataset, trained_version


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture
def candidate(model: ModelVersion) -> ModelVersion:
    return trained_version(ready_dataset())


def live() -> ModelVersion | None:
    return ModelVersion.objects.live()


@pytest.mark.parametrize("verdict", ["better", "not inferior"])
def test_a_candidate_that_is_not_worse_on_the_same_images_goes_live(
    tara: User, model: ModelVersion, candidate: ModelVersion, verdict: str
) -> None:
    comparison = compared(candidate, model, verdict)

    promotion = promote_version(user=tara, version=candidate)

    assert isinstance(promotion, Promotion)
    assert live() == candidate
    assert (promotion.promoted_by, promotion.confirmed_by) == (tara, None)
    assert (promotion.comparisons.get(), promotion.objection) == (comparison, "")
    assert AuditEntry.objects.about(candidate).get().action == "promoted"


@pytest.mark.parametrize(
    ("comparison", "error"),
    [
        (None, "has not been compared with the live model"),
        ({"verdict": "worse"}, "Model 2 is significantly worse than Model 1: balanced accuracy 0.160"),
        ({"verdict": "inconclusive"}, "It is not shown that Model 2 is at most 0.05 worse than Model 1"),
        ({"verdict": "guessing"}, "Model 2 is no better than guessing: balanced accuracy 0.050"),
        ({"verdict": "too few"}, "too few test images to say whether Model 2 is worse than Model 1"),
        ({"state": "running"}, "is not finished"),
        ({"state": "failed", "error": "They differ."}, "could not be compared with Model 1: They differ."),
    ],
)
def test_what_the_gate_objects_to_needs_a_reason_and_a_second_person_who_are_kept(
    tara: User,
    model: ModelVersion,
    candidate: ModelVersion,
    comparison: dict[str, Any] | None,
    error: str,
) -> None:
    if comparison is not None:
        compared(candidate, model, **comparison)

    for reason in ("", "   "):
        with pytest.raises(PromotionRefused, match=error):
            promote_version(user=tara, version=candidate, reason=reason)
    assert live() == model

    promotion = promoted(tara, candidate, "The live one fails on our films.")
    assert live() == candidate
    assert error in promotion.objection
    assert promotion.promoted_by == tara
    assert promotion.confirmed_by is not None
    assert promotion.confirmed_by.username == "second"
    audited = AuditEntry.objects.about(candidate).get()
    assert (audited.actor, audited.detail["confirmed_by"]) == (tara, "second")
    assert promotion.reason == "The live one fails on our films."


def test_a_comparison_with_a_model_that_is_live_no_more_does_not_count(
    tara: User, model: ModelVersion, candidate: ModelVersion
) -> None:
    other = trained_version(ready_dataset())
    compared(candidate, model)
    compared(other, model)
    promote_version(user=tara, version=other)

    with pytest.raises(PromotionRefused, match=r"compared with the live model \(Model 3\)"):
        promote_version(user=tara, version=candidate)


def test_the_newest_comparison_counts(model: ModelVersion, candidate: ModelVersion) -> None:
    compared(candidate, model, "worse")
    newest = compared(candidate, model, "better")

    assert gate.check(candidate, model) == gate.GateResult(newest, "")


def test_a_model_of_unknown_origin_is_not_taken_at_its_figures(
    tara: User, model: ModelVersion, candidate: ModelVersion
) -> None:
    promoted(tara, candidate)
    compared(model, candidate, "better", is_origin_known=False)

    with pytest.raises(PromotionRefused, match="was trained on the images that it was tested on"):
        promote_version(user=tara, version=model)


def compared_finding(**changes: dict[str, float]) -> dict[str, Any]:
    """As `python -m ml compare-finding` writes it: figures that are equal but for these, with their differences."""
    titles = {
        "auroc": "auroc",
        "calibration_error": "calibration_error",
        "missed": "no_fracture_seen_among_fractured",
        "false_alarms": "fracture_seen_among_unfractured",
        "first_mark_in_a_box": "first_mark_in_a_box",
    }
    same = {"before": 0.8, "after": 0.8, "low": -0.02, "high": 0.02}
    figures = {name: {**same, **changes.get(name, {})} for name in titles}

    def side(of: str) -> dict[str, Any]:
        estimates = {
            titles[name]: {"value": figure[of], "low": 0.4, "high": 0.6, "n": 40}
            for name, figure in figures.items()
        }
        return {"all": {"n": 90, "fractured": 40, **estimates}}

    auroc = figures["auroc"]
    of_finding = judgement(
        "better",
        figure="AUROC",
        unit="test X-rays",
        first=auroc["before"],
        second=auroc["after"],
        value=auroc["after"] - auroc["before"],
        low=auroc["low"],
        high=auroc["high"],
        margin=0.03,
        chance=0.5,
        n=90,
        groups=62,
        check=False,
    )
    return {
        "n": 90,
        "judgement": of_finding.to_json(),
        "fractured": 40,
        "with_boxes": 40,
        "groups": 12,
        "left_out": 3,
        "before": side("before"),
        "after": side("after"),
        "differences": {
            name: {"value": figure["after"] - figure["before"], "low": figure["low"], "high": figure["high"]}
            for name, figure in figures.items()
        },
    }


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (compared_finding(), ""),
        (compared_finding(auroc={"after": 0.79, "low": -0.029, "high": 0.009}), ""),
        (
            compared_finding(auroc={"after": 0.79, "low": -0.031, "high": 0.009}),
            "Finding: It is not shown that Model 2 is at most 0.03 worse than Model 1: AUROC 0.790 compared with 0.800",
        ),
        (
            compared_finding(auroc={"after": 0.785, "low": -0.02, "high": -0.01}),
            "Finding: Model 2 is significantly worse than Model 1: AUROC 0.785 compared with 0.800",
        ),
        (
            compared_finding(auroc={"before": 0.5, "after": 0.5}),
            "Finding: Model 2 is no better than guessing: AUROC 0.500",
        ),
        (compared_finding(missed={"after": 0.81}), "more missed fractures (0.810 compared with 0.800)"),
        (compared_finding(calibration_error={"after": 0.81}), "a larger calibration error (0.810 compared"),
        (compared_finding(false_alarms={"after": 0.9}), ""),
        (compared_finding(false_alarms={"after": 0.9, "low": 0.01}), "significantly more false alarms"),
        (
            compared_finding(missed={"after": 0.9}, first_mark_in_a_box={"after": 0.3, "high": -0.1}),
            "more missed fractures (0.900 compared with 0.800) and significantly fewer first marks in a box",
        ),
        ({**compared_finding(), "with_boxes": 0}, "No test X-ray has boxes"),
        ({"error": "There are no test X-rays."}, "figures that compare the two. There are no test X-rays."),
    ],
)
def test_a_trained_finding_is_judged_by_itself_on_the_test_x_rays(
    tara: User, model: ModelVersion, candidate: ModelVersion, finding: dict[str, Any], said: str
) -> None:
    for version, recipe in ((model, "fracture"), (candidate, "fracture_tune")):
        version.card = {"classes": [], "finding": {"recipe": {"name": recipe}}}
        version.save()
    compared(candidate, model, "", num_images=0, finding=finding)

    objection = gate.check(candidate, model).objection
    page = signed_in(tara).get("/models/2/promote/").content.decode()

    assert gate.parts_changed(candidate, model) == "the finding"
    assert said in objection
    assert bool(said) == bool(objection)
    assert ("Finding, on 90 test X-rays" in page) == ("n" in finding)
    if said:
        with pytest.raises(PromotionRefused):
            promote_version(user=tara, version=candidate)
    else:
        promote_version(user=tara, version=candidate)
        assert live() == candidate


def test_what_is_live_cannot_be_promoted(tara: User, model: ModelVersion) -> None:
    with pytest.raises(NotAllowedNow, match="is live already"):
        promote_version(user=tara, version=model, reason="Again.")


def test_rolling_back_goes_back_one_by_one_and_never_forth(
    tara: User, model: ModelVersion, candidate: ModelVersion
) -> None:
    third = trained_version(ready_dataset())
    for version in (candidate, third):
        promoted(tara, version)

    assert roll_back(user=tara, reason="Too unsure.").model_version == candidate
    assert roll_back(user=tara).model_version == model
    with pytest.raises(NotAllowedNow, match="No other model was live"):
        roll_back(user=tara)
    promoted(tara, third, "It was not its fault at all.")
    assert roll_back(user=tara).model_version == model
    assert [promotion.kind for promotion in Promotion.objects.order_by("id")] == [
        *("promote", "promote", "promote", "roll_back", "roll_back", "promote", "roll_back")
    ]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_promote_at_once_the_second_sees_what_the_first_did(model: ModelVersion) -> None:
    tara, two = person("tara", "Trainers"), [trained_version(ready_dataset()) for _ in range(2)]
    for version in two:
        compared(version, model)
    outcomes: list[str] = []

    def promote(version: ModelVersion) -> None:
        try:
            promote_version(user=tara, version=version)
            outcomes.append("promoted")
        except PromotionRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=promote, args=(version,)) for version in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # The second was compared with a model that is not live any more.
    assert sorted(outcomes) == ["promoted", "refused"]


def test_a_comparison_is_asked_for_once(tara: User, model: ModelVersion, candidate: ModelVersion) -> None:
    first = request_comparison(user=tara, candidate=candidate)

    assert first.dataset_version is None, "a worker chooses the largest test set"
    assert request_comparison(user=tara, candidate=candidate) == first
    with pytest.raises(NotAllowedNow, match="nothing to compare it with"):
        request_comparison(user=tara, candidate=model)
