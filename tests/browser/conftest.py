"""A real Chromium on the portal as `manage.py up` starts it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.conftest import PASSWORD, xray
from tests.servers import Portal, running_portal

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 360, "height": 640}
USERS = ("alice", "bob", "carol")
BROKEN_CONNECTION = "Failed to load resource: net::ERR_FAILED"
# What Chromium notes about a refused request; the page itself says why.
REFUSED_REQUEST = ("Failed to load resource: the server responded with a status of 4", BROKEN_CONNECTION)
# The machine may be busy: what takes a second alone gets time.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("portal")) as portal:
        portal.add_users(*USERS, password=PASSWORD)
        yield portal


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # A module's own: while it runs, its event loop would keep Django's ORM from other tests of this process.
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed: the pages are NOT tested in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, portal: Portal) -> Iterator[Open]:
    """Opens a page for a user, signed in. Whatever the browser complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED_REQUEST):
            complaints.append(f"{message.page.url if message.page else ''}: {message.text}")

    def open_page(user: str | None = None, url: str = portal.url, **options: object) -> Page:
        context = browser.new_context(base_url=url, **{"viewport": DESKTOP, **options})  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.on("console", note)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        if user:
            sign_in(page, user)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def sign_in(page: Page, user: str, password: str = PASSWORD) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username or email").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Upload X-rays")).to_be_visible()
    # The scripts of the page have run.
    page.wait_for_load_state()


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a drawn X-ray under a name."""

    def write(name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(xray(seed=len(name)).read())
        return path

    return write
