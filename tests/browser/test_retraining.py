"""The retraining loop in a browser: a data set goes in, a run is watched while it learns, another is canceled."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ml.classes import FRACTURE_CLASSES
from tests.browser.conftest import Open
from tests.browser.test_upload import assert_not_reloaded, mark
from tests.conftest import PASSWORD
from tests.data_sets import draw_zip
from tests.ml.drawings import BREAKS
from tests.servers import Portal, wait_until

pytestmark = pytest.mark.browser
# An audit or a training run on a busy machine.
PATIENCE = 300_000

# How much higher the text of the log is than its box, and how far its end lies below the box: pixels.
LOG = """
() => {
  const log = document.querySelector("#run-log"), text = document.createRange();
  text.selectNodeContents(log);
  const box = log.getBoundingClientRect(), inner = text.getBoundingClientRect();
  return [inner.height - box.height, inner.bottom - box.bottom];
}
"""
POINTS = '[...document.querySelectorAll("#run-curves polyline")].map((curve) => curve.getAttribute("points"))'


@pytest.fixture
def trainer(portal: Portal) -> str:
    portal.manage(
        *("createsuperuser", "--noinput", "--username", "tess", "--email", "tess@example.org"),
        extra={"DJANGO_SUPERUSER_PASSWORD": PASSWORD},
    )
    return "tess"


def upload_dataset(page: Page, folder: Path) -> None:
    kinds = [BREAKS[number % len(BREAKS)] for number in range(len(FRACTURE_CLASSES))]
    drawn = folder / "drawn.zip"
    drawn.write_bytes(draw_zip(4, kinds, FRACTURE_CLASSES))
    page.goto("/datasets/upload/")
    page.get_by_label("Zip of class folders").set_input_files(drawn)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="Data set 1")).to_be_visible()
    mark(page)
    expect(page.get_by_role("heading", name="Sample images")).to_be_visible(timeout=PATIENCE)
    assert_not_reloaded(page)


def start_run(page: Page, epochs: int) -> None:
    page.goto("/training/start/")
    page.locator("summary", has_text="Other recipes").click()
    page.get_by_label("tiny: A small network").check()
    page.get_by_label("Starting point").select_option("scratch")
    page.get_by_label("Epochs").fill(str(epochs))
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="Training run")).to_be_visible()


def num_points(page: Page) -> int:
    """Of all curves together."""
    return sum(len(points.split()) for points in page.evaluate(POINTS))


def test_a_run_is_watched_while_it_learns_and_another_is_canceled(
    open_page: Open, trainer: str, tmp_path: Path
) -> None:
    page = open_page(trainer)
    upload_dataset(page, tmp_path)

    start_run(page, epochs=24)
    mark(page)
    wait_until(lambda: num_points(page), what="the first epoch", seconds=PATIENCE / 1000)
    at_first = num_points(page)
    wait_until(lambda: num_points(page) > at_first, what="the curves to grow", seconds=PATIENCE / 1000)

    other = page.context.new_page()
    start_run(other, epochs=500)
    other.get_by_role("button", name="Cancel run").click()
    expect(other.get_by_text("Canceled by tess")).to_be_visible(timeout=PATIENCE)

    expect(page.get_by_role("link", name="Model 2")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)
    assert_not_reloaded(page)
    too_high, end_below = page.evaluate(LOG)
    assert too_high > 0
    assert end_below <= 0
    page.get_by_role("link", name="Model 2").click()
    expect(page.get_by_role("heading", name="Confusion matrix")).to_be_visible()
    expect(other.get_by_role("link", name="Notifications")).to_be_visible()
