from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open
from tests.client import Client
from tests.conftest import PASSWORD, xray
from tests.servers import Portal

pytestmark = pytest.mark.browser


def execute(page: Page, operation: str, **parameters: str) -> Locator:
    """Tries an operation out; its live response."""
    block = page.locator(f"#operations-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name, value in parameters.items():
        block.locator(f"tr[data-param-name={name}] input").fill(value)
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table")


def test_the_api_can_be_read_and_tried_out_without_internet_and_under_the_strict_policy(
    open_page: Open, portal: Portal
) -> None:
    alice = Client(portal.url, "alice", PASSWORD)
    sent = alice.upload(xray().read(), "tried-out.png")
    page = open_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url))
    response = page.goto("/api/v1/docs/")
    assert response is not None
    assert "unsafe" not in response.headers["content-security-policy"]
    expect(page.get_by_role("heading", name="Callus")).to_be_visible()

    refused = execute(page, "radiographs-radiograph_list")
    expect(refused).to_contain_text("Authentication credentials were not provided.")

    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(alice.headers["Authorization"].removeprefix("Bearer "))
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close", exact=True).click()
    found = execute(page, "radiographs-radiograph_retrieve", id=sent["id"])
    expect(found).to_contain_text("tried-out.png")
    picture = execute(page, "radiographs-radiograph_image", id=sent["id"]).locator("img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") == sent["width"]

    assert [url for url in elsewhere if not url.startswith((portal.url, "data:", "blob:"))] == []


def test_a_file_can_be_sent_from_the_page(open_page: Open, portal: Portal, tmp_path: Path) -> None:
    alice = Client(portal.url, "alice", PASSWORD)
    page = open_page()
    page.goto("/api/v1/docs/")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(alice.headers["Authorization"].removeprefix("Bearer "))
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close", exact=True).click()
    path = tmp_path / "from-the-page.png"
    path.write_bytes(xray().read())
    block = page.locator("#operations-radiographs-radiograph_create")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.locator("input[type=file]").set_input_files(path)
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table")).to_contain_text('"name": "from-the-page.png"')
