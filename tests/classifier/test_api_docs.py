"""Runs the commands and the program of docs/api.md against a real portal."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.client import Client, png
from tests.ml.data.test_dicom import dicom
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, Portal, running_portal

PAGE = (ROOT / "docs/api.md").read_text(encoding="utf-8")
PASSWORD = "correct-horse-battery"


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


RETRAINING = "\n## Retraining\n"


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.S | re.M)


def run(commands: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("portal")) as portal:
        portal.add_users("alice", password=PASSWORD)
        yield portal


def test_the_commands_lead_from_a_file_to_its_answer_and_clean_up(portal: Portal, tmp_path: Path) -> None:
    Image.fromarray(draw_bone()).save(tmp_path / "wrist.jpg")
    script = "\n".join(blocks("sh", PAGE.partition(RETRAINING)[0]))
    assert script.count("curl ") >= 8
    script = script.replace("http://127.0.0.1:8000", portal.url)
    done = run(script, tmp_path, NAME="alice", PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"state":"succeeded"' in (tmp_path / "answer.json").read_text()
    assert opened(tmp_path / "picture.png").size == opened(tmp_path / "wrist.jpg").size
    assert opened(tmp_path / "small.jpg").format == "JPEG"
    assert Client(portal.url, "alice", PASSWORD).get("radiographs/")["count"] == 0


def test_the_commands_review_an_x_ray_and_ask_for_a_recalibration(portal: Portal, tmp_path: Path) -> None:
    portal.add_users("tess", password=PASSWORD)
    code = (
        "from django.contrib.auth.models import Group; from classifier.core.models import User;"
        "User.objects.get(username='tess').groups.add(Group.objects.get(name='Trainers'))"
    )
    portal.manage("shell", "--no-imports", "-c", code)
    tess = Client(portal.url, "tess", PASSWORD)
    prediction = tess.upload(png(draw_bone(size=(480, 672))))["prediction"]["id"]
    tess.wait_for_answer(prediction)

    script = "\n".join(blocks("sh", PAGE.partition(RETRAINING)[2]))
    authorization = f"Authorization: {tess.headers['Authorization']}"
    done = run(script, tmp_path, URL=f"{portal.url}/api/v1", AUTH=authorization, ID=prediction)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "There are too few reviewed X-rays." in done.stdout
    assert "\n409\n" in done.stdout
    (review,) = tess.get("reviews/")["results"]
    assert (review["prediction"], review["finding"], len(review["boxes"])) == (prediction, "fracture", 1)


def send_to_callus(portal: Portal, folder: Path, content: bytes) -> "subprocess.CompletedProcess[str]":
    (program,) = blocks("python")
    (folder / "send_to_callus.py").write_text(program)
    (folder / "study.dcm").write_bytes(content)
    alice = Client(portal.url, "alice", PASSWORD)
    token = alice.headers["Authorization"].removeprefix("Bearer ")
    return subprocess.run(
        [sys.executable, "-I", "send_to_callus.py", "study.dcm"],
        cwd=folder,
        env={"CALLUS_URL": portal.url, "CALLUS_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_program_sends_a_dicom_file_and_prints_the_answer(portal: Portal, tmp_path: Path) -> None:
    done = send_to_callus(portal, tmp_path, dicom(draw_bone()))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Model version 1 - this is not a diagnosis.\n")


def test_the_program_says_why_a_file_was_refused(portal: Portal, tmp_path: Path) -> None:
    done = send_to_callus(portal, tmp_path, dicom(Modality="CT"))
    assert done.returncode == 1
    assert "Callus refused it (400): The DICOM file is not an X-ray of a bone" in done.stderr
