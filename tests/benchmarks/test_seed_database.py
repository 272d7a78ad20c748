import subprocess
import sys

import pytest

from benchmarks.seeding import Refused, seed
from classifier.core.models import AuditEntry, Notification, User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from portal.accounts.services import create_default_groups
from tests.servers import ROOT


def make() -> None:
    seed(num_predictions=400, num_users=10)


def test_the_command_needs_confirmation() -> None:
    command = [sys.executable, "-m", "benchmarks.seed_database"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--for-measuring" in done.stderr


def test_a_portal_with_users_is_not_changed(live_model: ModelVersion, alice: User) -> None:
    with pytest.raises(Refused, match="This portal has users"):
        make()
    assert list(User.objects.all()) == [alice]
    assert not Radiograph.objects.exists()


def test_it_creates_rows_like_those_after_years_of_use(live_model: ModelVersion) -> None:
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


def test_the_rows_are_reproducible(live_model: ModelVersion) -> None:
    create_default_groups()
    make()
    names = list(Radiograph.objects.order_by("created_at").values_list("_file_name", flat=True))
    Radiograph.objects.all().delete()
    make()
    again = list(Radiograph.objects.order_by("created_at").values_list("_file_name", flat=True))
    assert [name.partition("-2")[0] for name in again] == [name.partition("-2")[0] for name in names]
