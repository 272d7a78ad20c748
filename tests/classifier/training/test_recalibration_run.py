"""A recalibration from the button to the new version, with the real command."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from classifier.core.models import AuditEntry, Notification, User
from classifier.radiographs.models import Radiograph
from classifier.registry import bundles
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from classifier.training.models import Recalibration
from classifier.training.tasks import recalibrate
from ml.serve.bundle import Bundle, differ_by_calibration_only
from tests.client import png
from tests.ml.drawings import draw_bone
from tests.ml.recalibration import recognising_bundle
from tests.people import signed_in
from tests.retraining import confirm_as_second_person, person
from tests.reviewed_xrays import enough, owner, reviewed

pytestmark = pytest.mark.django_db
TRAINED_ON = "7" * 64


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return recognising_bundle(tmp_path_factory.mktemp("recognising") / "bundle", [TRAINED_ON])


@pytest.fixture
def live(bundle: Bundle, files: Path) -> ModelVersion:
    """A live model whose finding recognises drawings."""
    version = ModelVersion.objects.create(
        number=1,
        checksum=bundle.checksum,
        archive=bundles.store(bundle),
        card=bundle.full_card,
        source=ModelVersion.Source.SHIPPED,
        report={"classes": []},
    )
    Promotion.objects.create(model_version=version)
    return version


def drawn_by_finding(of: User, version: ModelVersion) -> list[Radiograph]:
    """Enough reviewed radiographs, drawn with a break where the reviewer sees one."""
    radiographs = enough(of, version)
    for number, radiograph in enumerate(radiographs):
        name = str(radiograph.image)
        default_storage.delete(name)
        content = png(draw_bone("Comminuted" if number % 2 else "Whole", number))
        assert default_storage.save(name, ContentFile(content)) == name
    return radiographs


def test_the_reviewed_x_rays_make_a_version_that_a_person_promotes(tara: User, live: ModelVersion) -> None:
    of = owner()
    radiographs = drawn_by_finding(of, live)
    reviewed(of, live, "fracture", "no_fracture", seed=100)
    # An X-ray whose uploaded file the network was trained on.
    reviewed(of, live, "fracture", seed=101, sha256=TRAINED_ON)
    deleted = Radiograph.objects.get(id=reviewed(of, live, "fracture", seed=102).id)
    default_storage.delete(str(deleted.image))
    as_tara = signed_in(tara)
    address = as_tara.post("/models/recalibrate/").url

    recalibrate(int(address.strip("/").rpartition("/")[2]))

    recalibration = Recalibration.objects.get()
    assert (recalibration.state, recalibration.error) == ("succeeded", "")
    made = recalibration.made_version
    assert made is not None
    assert (made.number, made.source, made.report) == (2, "recalibrated", live.report)
    assert differ_by_calibration_only(bundles.fetch(live), bundles.fetch(made))
    result = recalibration.result
    assert made.card["finding"]["figures"]["recalibrated"] == result
    assert (result["n"], result["fractured"], result["groups"]) == (len(radiographs), 30, 60)
    assert result["left_out"] == {"trained_on": 1, "contradicted": 0, "not_recognised": 0}
    assert Notification.objects.for_user(tara).get().text == f"{recalibration} created Model 2."
    actions = AuditEntry.objects.about(recalibration).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["recalibration requested", "recalibration finished"]
    assert ModelVersion.objects.live() == live

    assert "On 60 reviewed X-rays" in as_tara.get(address).content.decode()
    as_tara.post("/models/2/promote/", {"reason": "The thresholds suit our X-rays."})
    if PromotionRequest.objects.exists():
        confirm_as_second_person()
    assert ModelVersion.objects.live() == made


def test_the_x_rays_do_not_stay_on_the_worker(tara: User, live: ModelVersion, settings: Any) -> None:
    enough(owner(), live, each=1)
    left = settings.DATA_DIR / "recalibrations" / "99" / "images"
    left.mkdir(parents=True)
    recalibration = Recalibration.objects.create(start_version=live, created_by=tara)

    recalibrate(recalibration.pk)

    recalibration.refresh_from_db()
    assert recalibration.state == "failed"
    assert "too few X-rays to recalibrate on: 1 with a fracture and 1 without one" in recalibration.error
    assert list((settings.DATA_DIR / "recalibrations").iterdir()) == []
    assert f"{recalibration} failed." in Notification.objects.for_user(tara).get().text


def test_recalibrating_again_on_the_same_reviews_makes_no_other_version(
    tara: User, live: ModelVersion
) -> None:
    drawn_by_finding(owner(), live)
    for _ in range(2):
        recalibrate(Recalibration.objects.create(start_version=live, created_by=tara).pk)

    first, second = Recalibration.objects.order_by("id")
    made = ModelVersion.objects.get(number=2)
    assert (first.made_version, second.made_version) == (made, made)

    third = Recalibration.objects.create(start_version=made, created_by=tara)
    recalibrate(third.pk)

    third.refresh_from_db()
    assert (third.state, third.made_version) == ("succeeded", made)
    assert ModelVersion.objects.count() == 2
    texts = Notification.objects.for_user(tara).values_list("text", flat=True)
    assert f"{second} reproduced Model 2 exactly." in texts
    assert f"{third} changed nothing: the weights and thresholds are those of Model 2." in texts


def test_a_recalibration_that_is_done_is_not_done_again(live: ModelVersion) -> None:
    recalibration = Recalibration.objects.create(start_version=live, state="succeeded")
    recalibrate(recalibration.pk)
    recalibration.refresh_from_db()
    assert (recalibration.attempts, recalibration.made_version) == (0, None)
