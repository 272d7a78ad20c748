"""Every kind of page keeps the Content-Security-Policy, in a real browser, and says nothing in its console."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Open, sign_in
from tests.security.complete_requests import fill, query
from tests.security.live_world import LiveWorld, running_world
from tests.security.table import Row, read_rows

pytestmark = pytest.mark.browser
# Files that are saved; pictures, around which the browser builds a page of its own; and what pages ask by themselves.
NO_PAGES = (
    *("/account/export/", "/models/<number>/report/", "/audit-log/csv/", "/favicon.ico"),
    *("/image/", "/thumbnail/"),
    *("/answer/", "/answers/", "/progress/", "/livez", "/readyz", "/metrics", "/jsi18n/", "/autocomplete/"),
)
TELL = (
    "document.addEventListener('securitypolicyviolation', (event) =>"
    " console.error('Policy: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sourceFile))"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    with running_world(tmp_path_factory.mktemp("portal")) as world:
        yield world


def is_shown(row: Row, person: str) -> bool:
    """Refusals are pages too. The API is asked by programs."""
    is_page = not row.address.endswith(NO_PAGES)
    is_for_people = not row.address.startswith("/api/") or row.address in ("/api/", "/api/v1/docs/")
    return "GET" in row.methods and row.cells.get(person, "405") != "405" and is_page and is_for_people


def check_page(page: Page, world: LiveWorld, address: str) -> None:
    parameters = urlencode(query(address, world.ids))
    answer = page.goto(f"{fill(address, world.ids)}?{parameters}")
    assert answer is not None, address
    assert answer.status < 500, address
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy, address
    assert "unsafe" not in policy, address
    assert "http" not in policy, address
    # What a page does once it is there, it does before this is answered.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


@pytest.mark.parametrize("person", ["anonymous", "owner", "admin"])
def test_every_page_is_quiet_and_keeps_the_policy(open_page: Open, world: LiveWorld, person: str) -> None:
    page = open_page(url=world.url)
    page.add_init_script(TELL)
    if person != "anonymous":
        sign_in(page, person)
    rows = [row for row in read_rows("address") if is_shown(row, person)]
    for row in rows:
        check_page(page, world, row.address)
    assert len(rows) > 50


def test_every_page_of_the_administration_is_quiet_and_keeps_the_policy(
    open_page: Open, world: LiveWorld
) -> None:
    page = open_page(url=world.url)
    page.add_init_script(TELL)
    sign_in(page, "admin")
    for row in read_rows("kind"):
        base = f"/admin/{row.cells['kind'].strip('`')}/"
        check_page(page, world, base)
        check_page(page, world, f"{base}add/")
        page.goto(base)
        first = page.locator("#result_list tbody th a").first
        first.click()
        page.wait_for_url("**/change/**")
        change = page.url.partition("?")[0]
        for action in ("change", "history", "delete"):
            check_page(page, world, change.replace("/change/", f"/{action}/").removeprefix(world.url))
