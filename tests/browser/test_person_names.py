"""The upload page asks before it sends a file whose name looks like a person's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Open
from tests.servers import ROOT

NODE = shutil.which("node")
NAMES = [
    *("Meier_Hans_19700101.dcm", "meier hans.png", "MEIER^HANS.dcm", "HansMeier.jpg", "Müller, Anna (2).jpg"),
    *("O'Brien-Patrick.jpeg", "Garcia Lopez M wrist left.png", "Meier1970.png", "smith_01021985_ankle.dcm"),
    *("Иванов Иван.png", "Anne-Marie.jpg"),
]
OTHERS = [
    *(
        "wrist-ap.png",
        "IMG0000197.jpg",
        "X-ray.dcm",
        "DSC_0042.JPG",
        "1.2.840.10008.5.1.dcm",
        "20261127_101500.jpg",
    ),
    *(
        "left knee lateral 2.png",
        "IM-0001-0002.dcm",
        "fracture.jpg",
        "WhatsApp Image 2026-11-27.jpeg",
        "patient.png",
    ),
    *("Screenshot 2026-11-27.png", "scan.png", "case17.png", "chosen-3.png", "CR.1.3.12.2.1107.dcm"),
]


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_names_of_people_are_told_from_other_names() -> None:
    module = json.dumps((ROOT / "static" / "person_names.js").as_uri())
    names = json.dumps([*NAMES, *OTHERS])
    code = f"import({module}).then(m => console.log(JSON.stringify({names}.filter(m.looksLikeName))))"
    # The file ends in .js and has no package.json that says that it is a module.
    done = subprocess.run(
        [str(NODE), "--experimental-default-type=module", "-e", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == NAMES


@pytest.mark.browser
@pytest.mark.parametrize(
    ("button", "kept"),
    [("Send without this name", "X-ray.png"), ("Send as it is", "Meier_Hans_19700101.png")],
)
def test_a_file_with_a_name_is_sent_when_the_sender_has_decided(
    open_page: Open, drawn: Callable[[str], Path], button: str, kept: str
) -> None:
    page = open_page("alice")
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.get_by_label("Drop X-rays here").set_input_files(drawn("Meier_Hans_19700101.png"))
    item = page.locator("#uploads .row").filter(has_text="Meier_Hans_19700101.png")
    expect(item).to_contain_text("The file name may contain a person's name. Callus keeps file names.")
    assert sent == []
    item.get_by_role("button", name=button).click()
    expect(page.locator("#uploads").get_by_role("link", name=kept)).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("button", "kept"),
    [
        ("Send all without their names", ["X-ray.png", "X-ray.png"]),
        ("Send all as they are", ["Meier_Hans.png", "Meier_Anna.png"]),
    ],
)
def test_one_decision_sends_all_files_with_a_name(
    open_page: Open, drawn: Callable[[str], Path], button: str, kept: list[str]
) -> None:
    page = open_page("alice", viewport=PHONE)
    everything = page.locator("#upload-names")
    page.get_by_label("Drop X-rays here").set_input_files([drawn("Meier_Hans.png")])
    expect(page.get_by_role("button", name="Send as it is")).to_be_visible()
    expect(everything).to_be_hidden()
    page.get_by_label("Drop X-rays here").set_input_files([drawn("Meier_Anna.png")])
    expect(everything).to_contain_text("2 file names may contain a person's name.")
    # The buttons leave room for the question.
    for question in page.locator(".upload-item .row-main").all():
        assert (question.bounding_box() or {})["width"] > PHONE["width"] / 2
    everything.get_by_role("button", name=button).click()
    expect(page.locator("#uploads .row-name a")).to_have_text(kept)
    expect(everything).to_be_hidden()
