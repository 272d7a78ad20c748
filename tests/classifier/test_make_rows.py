from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from classifier.models import AuditEntry, ModelVersion, Notification, Prediction, Radiograph, Review, User
from classifier.services.create_default_groups import create_default_groups


def make(**options: Any) -> None:
    call_command("make_rows", **{"for_measuring": True, "predictions": 400, "users": 10, **options})


def test_it_wants_to_be_told_that_the_rows_are_for_measuring(live_model: ModelVersion) -> None:
    with pytest.raises(CommandError, match="for measuring only"):
        make(for_measuring=False)
    assert not User.objects.exists()


def test_a_portal_with_people_stays_as_it_is(live_model: ModelVersion, alice: User) -> None:
    with pytest.raises(CommandError, match="There are people on this portal"):
        make()
    assert list(User.objects.all()) == [alice]
    assert not Radiograph.objects.exists()


def test_it_makes_what_years_of_use_leave(live_model: ModelVersion) -> None:
    create_default_groups()
    make()
    assert Prediction.objects.count() == 400
    assert Radiograph.objects.count() == 340, "some are answered by two versions"
    assert User.objects.count() == 10
    assert not any(user.has_usable_password() for user in User.objects.all())
    states = set(Prediction.objects.values_list("state", flat=True))
    assert states == {"queued", "running", "succeeded", "failed"}
    answer = Prediction.objects.filter(state="succeeded")[0]
    assert sum(pair["probability"] for pair in answer.probabilities) == pytest.approx(1)
    assert all(answer.owner_id == answer.radiograph.owner_id for answer in Prediction.objects.all())
    assert Prediction.objects.values("model_version").distinct().count() == 5
    for rows in (Review, AuditEntry, Notification, Radiograph.objects.exclude(deleted_at=None)):
        assert getattr(rows, "objects", rows).exists()


def test_two_portals_are_made_alike(live_model: ModelVersion) -> None:
    create_default_groups()
    make()
    names = list(Radiograph.objects.order_by("created_at").values_list("name", flat=True))
    Radiograph.objects.all().delete()
    make()
    again = list(Radiograph.objects.order_by("created_at").values_list("name", flat=True))
    assert [name.partition("-2")[0] for name in again] == [name.partition("-2")[0] for name in names]
