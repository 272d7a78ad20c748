"""A promotion to which the gate objects waits for a second person, who confirms or declines it."""

import threading

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client

from classifier.core.errors import NotAllowedNow
from classifier.core.models import AuditEntry, Notification, User
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from classifier.training.promotions import confirm_promotion, promote_version, roll_back
from tests.people import signed_in
from tests.retraining import compared, person, promoted, ready_dataset, trained_version

REASON = "The live one fails on our films."


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture
def theo(db: None) -> User:
    return person("theo", "Trainers")


@pytest.fixture
def candidate(model: ModelVersion) -> ModelVersion:
    version = trained_version(ready_dataset())
    compared(version, model, "inconclusive")
    return version


def live() -> ModelVersion | None:
    return ModelVersion.objects.live()


def ask(user: User, version: ModelVersion) -> PromotionRequest:
    made = promote_version(user=user, version=version, reason=REASON)
    assert isinstance(made, PromotionRequest)
    return made


def words(client: Client, address: str, **form: str) -> str:
    answer = client.post(address, form, follow=True) if form else client.get(address)
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def press(client: Client, request: PromotionRequest, what: str) -> str:
    answer = client.post(f"/promotion-requests/{request.pk}/{what}/", follow=True)
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


@pytest.mark.parametrize(
    "reason", ["", "ok", "test test test", "aa bb cc", "Supercalifragilistic expialidocious"]
)
def test_a_reason_is_a_sentence(
    tara: User, candidate: ModelVersion, model: ModelVersion, reason: str
) -> None:
    as_tara = signed_in(tara)
    page = words(as_tara, "/models/2/promote/")
    assert "Write at least 20 characters in at least 4 words." in page

    answer = as_tara.post("/models/2/promote/", {"reason": reason})

    assert answer.status_code == (400 if reason else 409)
    if reason:
        assert "Write a reason of at least 20 characters in at least 4 words." in answer.content.decode()
    assert not PromotionRequest.objects.exists()
    assert live() == model


def test_a_second_person_confirms_on_the_page_and_both_stay_on_record(
    tara: User, theo: User, candidate: ModelVersion, model: ModelVersion
) -> None:
    as_tara, as_theo = signed_in(tara), signed_in(theo)

    asked = words(as_tara, "/models/2/promote/", reason=REASON, live="1")

    assert "Model 2 is not live yet: a second person must confirm it." in asked
    assert "You asked for this. Another person with the permission to promote must confirm it." in asked
    assert live() == model
    request = PromotionRequest.objects.get()
    told = Notification.objects.for_user(theo).get()
    assert told.text == f"tara asks a second person to confirm the promotion of Model 2: {REASON}"
    assert f"/promotion-requests/{request.pk}/" in words(as_theo, "/notifications/")
    assert "Model 2 waits for a second person" in words(as_theo, "/models/promotions/")
    assert "The request waits for a second person." in words(as_tara, "/models/2/promote/")
    page = words(as_theo, f"/promotion-requests/{request.pk}/")
    assert REASON in page
    assert "It is not shown that Model 2 is at most 0.05 worse than Model 1" in page

    assert "Another person with the permission to promote" in press(as_tara, request, "confirm")
    assert live() == model
    history = press(as_theo, request, "confirm")

    assert live() == candidate
    assert "by tara, confirmed by theo" in history
    assert f'href="/comparisons/{candidate.comparisons.get().pk}/"' in history
    promotion = Promotion.objects.newest_first()[0]
    assert (promotion.promoted_by, promotion.confirmed_by, promotion.reason) == (tara, theo, REASON)
    assert promotion.objection == request.objection
    audit = [(entry.action, entry.actor_name) for entry in AuditEntry.objects.newest_first()[:2]]
    assert audit == [("promoted", "tara"), ("promotion requested", "tara")]
    assert AuditEntry.objects.newest_first()[0].detail["confirmed_by"] == "theo"
    assert (
        Notification.objects.for_user(tara).get().text
        == "theo confirmed the promotion of Model 2. It is live."
    )
    assert "This request does not wait any more: confirmed by theo." in press(as_theo, request, "confirm")
    assert Promotion.objects.count() == 2


def test_who_declines_or_withdraws_changes_nothing(
    tara: User, theo: User, candidate: ModelVersion, model: ModelVersion
) -> None:
    for user, state in ((theo, "declined"), (tara, "withdrawn")):
        request = ask(tara, candidate)
        assert f"The request is {state}. Nothing has changed." in press(signed_in(user), request, "decline")
        assert f"does not wait any more: {state} by {user}" in press(signed_in(theo), request, "confirm")
    assert live() == model
    actions = list(AuditEntry.objects.newest_first().values_list("action", flat=True))
    assert actions[::2] == ["promotion request withdrawn", "promotion declined"]
    assert Notification.objects.for_user(tara).get().text == "theo declined the promotion of Model 2."


def test_a_request_waits_once(tara: User, theo: User, candidate: ModelVersion) -> None:
    ask(tara, candidate)
    for user in (tara, theo):
        with pytest.raises(NotAllowedNow, match="tara has already asked to promote Model 2"):
            ask(user, candidate)


@pytest.mark.parametrize("how", ["promoted", "rolled back"])
def test_a_request_lapses_when_another_model_goes_live(
    tara: User, theo: User, candidate: ModelVersion, model: ModelVersion, how: str
) -> None:
    other = trained_version(ready_dataset())
    if how == "rolled back":
        promoted(tara, other)
    request = ask(tara, candidate)
    if how == "promoted":
        compared(other, model)
        promote_version(user=theo, version=other)
    else:
        roll_back(user=theo)
    now = live()

    page = words(signed_in(theo), f"/promotion-requests/{request.pk}/")
    assert f"{now} has become live in the meantime. The request cannot be confirmed any more." in page
    assert "confirm/" not in page
    assert f"This request has lapsed. {now} has become live" in press(signed_in(theo), request, "confirm")
    assert live() == now
    assert AuditEntry.objects.about(request).newest_first()[0].action == "promotion request lapsed"
    assert "lapsed" in Notification.objects.for_user(tara)[0].text


def test_a_request_lapses_when_the_gate_says_something_else(
    tara: User, theo: User, candidate: ModelVersion, model: ModelVersion
) -> None:
    request = ask(tara, candidate)
    compared(candidate, model, "worse")

    assert "The gate no longer says what it said then." in press(signed_in(theo), request, "confirm")

    request.refresh_from_db()
    assert (live(), request.state) == (model, "lapsed")


def test_a_request_of_somebody_who_may_not_promote_any_more_lapses(
    tara: User, theo: User, candidate: ModelVersion, model: ModelVersion
) -> None:
    request = ask(tara, candidate)
    tara.groups.remove(Group.objects.get(name="Trainers"))

    assert "tara may no longer promote models." in press(signed_in(theo), request, "confirm")
    assert live() == model


def test_the_page_says_that_nobody_else_may_promote(tara: User, candidate: ModelVersion) -> None:
    sentence = "Nobody else on this portal"
    as_tara = signed_in(tara)
    assert sentence in words(as_tara, "/models/2/promote/")
    request = ask(tara, candidate)
    assert sentence in words(as_tara, f"/promotion-requests/{request.pk}/")
    person("theo", "Trainers")
    assert sentence not in words(as_tara, f"/promotion-requests/{request.pk}/")


def test_who_may_look_but_not_promote_sees_no_buttons(tara: User, candidate: ModelVersion) -> None:
    viewer = person("vera")
    viewer.user_permissions.set(Group.objects.get(name="Trainers").permissions.filter(codename="view_model"))
    request = ask(tara, candidate)
    as_vera = signed_in(viewer)

    page = words(as_vera, f"/promotion-requests/{request.pk}/")

    assert REASON in page
    assert "confirm/" not in page
    assert as_vera.post(f"/promotion-requests/{request.pk}/confirm/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_of_two_who_confirm_at_once_one_promotes(model: ModelVersion) -> None:
    candidate = trained_version(ready_dataset())
    request = ask(person("tara", "Trainers"), candidate)
    seconds = [person(name, "Trainers") for name in ("theo", "thea", "tom", "tina")]
    outcomes: list[str] = []

    def confirm(user: User) -> None:
        try:
            confirm_promotion(user=user, request=request)
            outcomes.append("promoted")
        except NotAllowedNow:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=confirm, args=(user,)) for user in seconds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["promoted", "refused", "refused", "refused"]
    assert Promotion.objects.filter(model_version=candidate).count() == 1
