"""X-rays of one patient or study are one group; of the identifiers, only keyed hashes are stored."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from classifier.radiographs.groups import group_names
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from tests.conftest import xray
from tests.ml.data.test_dicom import dicom

pytestmark = pytest.mark.django_db


def sent(client: Client, **attributes: Any) -> Radiograph:
    content = dicom(**{"PatientID": None, **attributes})
    client.post("/", {"file": SimpleUploadedFile("bone.dcm", content)})
    return Radiograph.objects.newest_first()[0]


def groups() -> dict[Any, str]:
    return group_names(Radiograph.objects.values_list("id", "patient_hash", "study_hash"))


def test_a_patient_or_a_study_joins_x_rays_also_through_others(
    as_alice: Client, as_bob: Client, live_model: ModelVersion
) -> None:
    first = sent(as_alice, PatientID="4711", StudyInstanceUID="1.2.3")
    through_study = sent(as_bob, StudyInstanceUID="1.2.3")
    through_patient = sent(as_bob, PatientID=" 4711 ", StudyInstanceUID="1.2.4")
    other = sent(as_alice, PatientID="4712", StudyInstanceUID="1.2.5")
    as_alice.post("/", {"file": xray("bone.png")})
    unknown = Radiograph.objects.newest_first()[0]

    found = groups()

    assert found[first.id] == found[through_study.id] == found[through_patient.id]
    assert len({found[each.id] for each in (first, other, unknown)}) == 3
    assert (unknown.patient_hash, unknown.study_hash) == (None, None)


@pytest.mark.parametrize(
    "placeholder", ["", "Anonymous", "ANONYMIZED", "0", "0000", "xxx", "-", "Not Available"]
)
def test_a_placeholder_is_not_a_patient(as_alice: Client, live_model: ModelVersion, placeholder: str) -> None:
    assert sent(as_alice, PatientID=placeholder).patient_hash is None


@pytest.mark.parametrize("identifier", ["7", "11", "ANON-0007", "Patient 12"])
def test_a_short_identifier_is_a_patient(as_alice: Client, live_model: ModelVersion, identifier: str) -> None:
    assert sent(as_alice, PatientID=identifier).patient_hash is not None


def test_the_hash_depends_on_the_secret_key(
    as_alice: Client, live_model: ModelVersion, settings: Any
) -> None:
    before = sent(as_alice, PatientID="4711").patient_hash
    as_this_key = sent(as_alice, PatientID="4711").patient_hash
    settings.SECRET_KEY = "another-key" * 5
    as_alice.force_login(Radiograph.objects.all()[0].owner)

    assert before == as_this_key
    assert sent(as_alice, PatientID="4711").patient_hash not in (before, None)
