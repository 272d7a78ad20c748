import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, SMALL_PHONE, Open

pytestmark = pytest.mark.browser
Drawn = Callable[[str], Path]


def upload(page: Page, *files: Path) -> None:
    page.goto("/")
    page.get_by_label("Drop X-rays here").set_input_files(list(files))
    expect(page.locator("#uploads .badge")).to_have_count(len(files))
    expect(page.locator("[data-waiting]")).to_have_count(0)


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@pytest.mark.parametrize(
    ("viewport", "colour_scheme"), [(DESKTOP, "light"), (SMALL_PHONE, "dark")], ids=["desktop", "phone"]
)
def test_no_page_scrolls_sideways_or_breaks_the_content_policy(
    open_page: Open, drawn: Drawn, viewport: dict[str, int], colour_scheme: str
) -> None:
    page = open_page("alice", viewport=viewport, color_scheme=colour_scheme)
    upload(page, drawn(f"{'unbreakable' * 16}.png"))
    result = page.locator("#uploads a").first.get_attribute("href")
    pages = ("/", str(result), "/radiographs/", "/radiographs/?name=nothing-like-it", "/account/")
    others = ("/accounts/email/", "/accounts/password/change/", "/accounts/logout/", "/nothing-here")
    for address in (*pages, *others):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == (404 if address == "/nothing-here" else 200), address
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not is_too_wide(page), address


def test_pages_of_other_makers_keep_the_content_policy(open_page: Open) -> None:
    page = open_page("alice")
    page.goto("/api/v1/docs/")
    expect(page.get_by_text("/api/v1/radiographs/").first).to_be_visible()
    page.goto("/accounts/logout/")
    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    for address in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/admin/login/"):
        page.goto(address)
        expect(page.locator("form").first).to_be_visible()


def test_a_new_person_signs_up_and_gets_a_token(open_page: Open) -> None:
    page = open_page()
    page.goto("/")
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("Username").fill("dora")
    page.get_by_label("Password", exact=True).fill("12345")
    page.get_by_label("Password (again)").fill("12345")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_text("This password is too common.")).to_be_visible()
    page.get_by_label("Password", exact=True).fill("correct-horse-battery")
    page.get_by_label("Password (again)").fill("correct-horse-battery")
    page.get_by_role("button", name="Sign up").click()
    page.locator("summary").click()
    page.get_by_role("link", name="Account and API tokens").click()
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_label("Your new token.")).to_have_value(re.compile(r"\w{64}"))
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("You have no tokens.")).to_be_visible()


def test_history_is_searched_as_one_types_and_a_selection_deleted(open_page: Open, drawn: Drawn) -> None:
    page = open_page("bob")
    upload(page, drawn("wrist-ap.png"), drawn("wrist-lateral.png"), drawn("ankle.png"))
    page.get_by_role("link", name="History").click()
    page.wait_for_url("**/radiographs/")
    page.get_by_label("File name").press_sequentially("wrist")
    expect(page.get_by_text("2 X-rays found")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?name=wrist"))
    expect(page.get_by_label("File name")).to_be_focused()
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Delete selected (2)").click()
    page.get_by_role("button", name="Move to trash").click()
    expect(page.get_by_text("2 X-rays are in the trash.")).to_be_visible()
    expect(page.get_by_role("link", name="ankle.png", exact=True)).to_be_visible()
    expect(page.get_by_text("wrist")).to_have_count(0)


def test_anothers_result_is_not_found(open_page: Open, drawn: Drawn) -> None:
    alices = open_page("alice")
    upload(alices, drawn("private.png"))
    result = str(alices.locator("#uploads a").first.get_attribute("href"))
    bobs = open_page("bob")
    for address in (result, f"{result}image/", f"{result}thumbnail/"):
        answer = bobs.goto(address)
        assert answer is not None
        assert answer.status == 404


def test_a_real_x_ray_gets_a_finding_and_marks_on_the_picture(open_page: Open, shared: Path) -> None:
    picture = min((shared / "data/bone-break/Oblique fracture").glob("*/*.jpg"))
    page = open_page("alice")
    upload(page, picture)
    page.locator("#uploads a").last.click()
    expect(page.locator("#state")).to_contain_text("Done")
    expect(page.locator(".probabilities tbody tr")).to_have_count(3)
    marks = page.get_by_role("img", name="with a suspected fracture")
    expect(marks).to_be_visible()
    assert marks.bounding_box() == page.locator(".picture").bounding_box()
    page.get_by_label("Show marks").uncheck()
    expect(marks).to_be_hidden()
