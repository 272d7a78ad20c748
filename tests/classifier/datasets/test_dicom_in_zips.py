"""DICOM files in a zip of class folders: their pictures join the data set, and nothing else of them is kept."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from classifier.core.models import User
from classifier.datasets import archives
from classifier.datasets.jobs.build import build_dataset
from classifier.datasets.models import DatasetVersion
from classifier.datasets.services import request_dataset_from_zip
from ml.data.images import read_image
from tests import traces
from tests.data_sets import KINDS, draw_distinct, draw_zip, zip_of
from tests.marked_dicom import marked, marks_in
from tests.ml.data.test_dicom import dicom
from tests.retraining import person, zip_file

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


def build(tara: User, **more: bytes) -> DatasetVersion:
    """A version of drawn images, and of these files of the first class besides."""
    with zipfile.ZipFile(io.BytesIO(draw_zip(6))) as archive:
        drawn = {name: archive.read(name) for name in archive.namelist()}
    content = zip_of({**drawn, **{f"{KINDS[0]}/Train/{name}": data for name, data in more.items()}})
    dataset = request_dataset_from_zip(user=tara, upload=zip_file(content), new_classes=True)
    build_dataset(dataset.pk)
    dataset.refresh_from_db()
    return dataset


def test_the_picture_is_kept_and_the_patient_is_not(tara: User, files: Path, tmp_path: Path) -> None:
    drawn = draw_distinct(KINDS[0], 777)
    dataset = build(tara, **{"x-ray.dcm": marked(dicom(drawn)), "broken.dcm": marked(dicom(drawn))[:-9000]})
    assert (dataset.state, dataset.error) == ("succeeded", "")
    assert dataset.num_images == 19
    (finding,) = dataset.report["unreadable"]
    assert finding["path"].endswith("broken.dcm")
    kept = archives.read_image(dataset, f"{KINDS[0]}/Train/x-ray.dcm.png")
    assert (read_image(kept).pixels == drawn).all()
    everything = [*traces.of_folder(files), *traces.of_folder(tmp_path / "var"), *traces.of_database()]
    assert [name for name, content in everything if marks_in(content)] == []


def test_two_files_that_would_become_one_picture_are_refused(tara: User) -> None:
    drawn = draw_distinct(KINDS[0], 777)
    dataset = build(tara, **{"1.dcm": dicom(drawn), "1.dcm.png": b"x"})
    assert dataset.state == "failed"
    assert dataset.error == "'1.dcm' and '1.dcm.png' would become one picture."
