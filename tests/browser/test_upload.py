from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, PHONE, Open
from tests.servers import wait_until

pytestmark = pytest.mark.browser
Drawn = Callable[[str], Path]

DROP = """
([zone, files]) => {
  const transfer = new DataTransfer();
  for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
  for (const type of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
}
"""


def choose(page: Page, *files: Path) -> None:
    page.get_by_label("Drop X-rays here").set_input_files(list(files))


def mark(page: Page) -> None:
    """A reload would wipe this out."""
    page.evaluate("window.isTheSamePage = true")


def assert_not_reloaded(page: Page) -> None:
    assert page.evaluate("window.isTheSamePage === true")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_chosen_files_are_answered_without_a_reload(
    open_page: Open, drawn: Drawn, viewport: dict[str, int]
) -> None:
    page = open_page("alice", viewport=viewport)
    mark(page)
    names = [f"chosen-{i}.png" for i in range(5)]
    choose(page, *[drawn(name) for name in names])
    for name in names:
        upload = page.locator("#uploads .row").filter(has_text=name)
        expect(upload.locator(".badge")).to_be_visible()
        expect(upload.locator("[data-waiting]")).to_have_count(0)
        expect(upload.get_by_role("link", name=name)).to_be_visible()
    assert_not_reloaded(page)


def test_a_dropped_file_leads_to_its_result(open_page: Open, drawn: Drawn) -> None:
    page = open_page("alice")
    mark(page)
    content = list(drawn("dropped.png").read_bytes())
    page.evaluate(DROP, [page.locator(".dropzone").element_handle(), [["dropped.png", content]]])
    upload = page.locator("#uploads .row").filter(has_text="dropped.png")
    expect(upload.locator("[data-waiting]")).to_have_count(0)
    expect(upload.locator(".badge")).to_be_visible()
    assert_not_reloaded(page)
    upload.get_by_role("link", name="dropped.png").click()
    expect(page.locator("#state")).to_contain_text("Done")
    expect(page.get_by_role("img", name="X-ray dropped.png")).to_be_visible()
    expect(page.get_by_text("This is not a diagnosis.")).to_be_visible()


def test_each_file_has_its_own_error(open_page: Open, drawn: Drawn, tmp_path: Path) -> None:
    page = open_page("alice")
    text, empty, huge = (tmp_path / name for name in ("notes.jpg", "empty.png", "huge.dcm"))
    text.write_text("Not a picture at all.")
    empty.touch()
    with huge.open("wb") as file:
        file.truncate(201 * 1024**2)
    choose(page, text, drawn("good.png"), empty, huge)
    errors = {
        "notes.jpg": "The file is not a JPEG, PNG or DICOM image.",
        "empty.png": "The file is empty.",
        "huge.dcm": "This file is too large. The limit is 200 MB.",
    }
    for name, sentence in errors.items():
        upload = page.locator("#uploads .row").filter(has_text=name)
        expect(upload.get_by_role("alert")).to_have_text(sentence)
    good = page.locator("#uploads .row").filter(has_text="good.png")
    expect(good.get_by_role("link", name="good.png")).to_be_visible()
    expect(page.locator("#upload-summary")).to_have_text("1 of 4 uploaded, 3 refused.")


def test_files_chosen_before_the_script_of_the_page_is_there_are_sent(open_page: Open, drawn: Drawn) -> None:
    page = open_page("alice")
    held: list[Route] = []
    page.route("**/upload*.js", lambda route: held.append(route))
    page.goto("/", wait_until="commit")
    choose(page, drawn("early-1.png"), drawn("early-2.png"))
    expect(page.get_by_role("button", name="Upload")).to_be_visible()
    expect(page.locator("#uploads .row")).to_have_count(0)
    wait_until(lambda: page.title() and held, what="the script to be asked for")
    held[0].continue_()
    for name in ("early-1.png", "early-2.png"):
        expect(page.locator("#uploads").get_by_role("link", name=name)).to_be_visible()


def test_an_upload_that_the_network_broke_can_be_tried_again(open_page: Open, drawn: Drawn) -> None:
    page = open_page("alice")
    page.route("**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    choose(page, drawn("again.png"))
    upload = page.locator("#uploads .row").filter(has_text="again.png")
    expect(upload.get_by_role("alert")).to_contain_text("The connection to the portal was lost")
    page.unroute_all()
    upload.get_by_role("button", name="Try again").click()
    expect(upload.get_by_role("link", name="again.png")).to_be_visible()


def test_the_keyboard_is_enough(open_page: Open, drawn: Drawn) -> None:
    page = open_page("carol")
    page.on("filechooser", lambda chooser: chooser.set_files(drawn("by-keyboard.png")))
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    press("Enter")
    press("Tab")
    expect(page.get_by_label("Drop X-rays here")).to_be_focused()
    press("Enter")
    link = page.locator("#uploads").get_by_role("link", name="by-keyboard.png")
    expect(link).to_be_visible()
    press("Tab")
    expect(link).to_be_focused()
    press("Enter")
    expect(page.get_by_role("heading", name="by-keyboard.png")).to_be_visible()
    page.get_by_role("link", name="Delete this X-ray").focus()
    press("Enter")
    expect(page.get_by_role("heading", name="Delete this X-ray?")).to_be_visible()
    page.get_by_role("button", name="Move to trash").focus()
    press("Enter")
    expect(page.get_by_text("1 X-ray is in the trash.")).to_be_visible()


def test_it_works_without_javascript(open_page: Open, drawn: Drawn) -> None:
    page = open_page("bob", java_script_enabled=False)
    choose(page, drawn("plain-1.png"), drawn("plain-2.png"))
    page.get_by_role("button", name="Upload").click()
    for name in ("plain-1.png", "plain-2.png"):
        expect(page.locator("#uploads").get_by_role("link", name=name)).to_be_visible()
    page.locator("#uploads").get_by_role("link", name="plain-1.png").click()
    # The page reloads itself until the answer is there.
    expect(page.locator("#state")).to_contain_text("Done")
