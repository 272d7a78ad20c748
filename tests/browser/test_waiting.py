"""A page that is open before a worker is there fills in when its answer comes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.conftest import PASSWORD
from tests.servers import Portal

pytestmark = pytest.mark.browser


@pytest.fixture
def without_workers(tmp_path: Path) -> Iterator[Portal]:
    portal = Portal(tmp_path / "portal")
    try:
        portal.prepare()
        portal.add_users("alice", password=PASSWORD)
        portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        portal.wait_until_live()
        yield portal
    finally:
        portal.stop()


def test_the_result_fills_in_without_a_reload(
    without_workers: Portal, open_page: Open, drawn: Callable[[str], Path]
) -> None:
    page = open_page("alice", url=without_workers.url)
    page.get_by_label("Drop X-rays here").set_input_files(drawn("patient.png"))
    upload = page.locator("#uploads .row").filter(has_text="patient.png")
    expect(upload.locator(".badge")).to_have_text("Waiting")
    upload.get_by_role("link", name="patient.png").click()
    state = page.get_by_role("status").and_(page.locator("#state"))
    expect(state).to_contain_text("Waiting for a free worker")
    page.evaluate("window.isTheSamePage = true")
    history = page.context.new_page()
    history.goto("/radiographs/")
    expect(history.locator(".badge")).to_have_text("Waiting")

    without_workers.start("predict", "worker", "predict")
    # The worker starts first, which takes its time on a busy machine.
    expect(state).to_contain_text("Done", timeout=120_000)
    expect(page.locator("#answer h2")).to_be_visible()
    assert page.evaluate("window.isTheSamePage === true")
    expect(history.locator("[data-waiting]")).to_have_count(0)
