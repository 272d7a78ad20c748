"""A reviewer draws boxes on an X-ray: with the mouse, with a finger and by keyboard."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import DESKTOP, PHONE, Open
from tests.conftest import PASSWORD
from tests.servers import Portal

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 480, 672
# x, y, width and height of the mark that tests.uploads.finish() writes
MARK = (20, 30, 24, 18)
MAKE_WORLD = f"""
import io
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image
from classifier.core.models import User
from classifier.registry.models import ModelVersion
from tests.ml.drawings import draw_bone
from tests.uploads import finish, receive
for name in ("alice", "rita"):
    user = User.objects.create_user(name, password={PASSWORD!r})
    if name != "alice":
        user.groups.add(Group.objects.get(name="Reviewers"))
model = ModelVersion.objects.live()
share = {{"value": 0.65, "low": 0.59, "high": 0.72, "n": 1144}}
tested = {{"n": 1442, "fractured": 123, "fractured_among_fracture_seen": share, "fractured_among_doubtful": share}}
model.card["finding"] = {{"figures": {{"held_out": {{"hand": tested}}}}, "origin": {{"never_tested_on": "children"}}}}
model.save()
for number, finding in enumerate(["fracture_seen"] * 8 + ["doubtful"]):
    content = io.BytesIO()
    Image.fromarray(draw_bone(seed=number, size=({WIDTH}, {HEIGHT}))).save(content, "PNG")
    upload = SimpleUploadedFile(f"{{number}}.png", content.getvalue())
    radiograph = receive(User.objects.get(username="alice"), upload)
    finish(radiograph, finding=finding)
    print(radiograph.id)
"""
# What a finger does, which Playwright cannot.
TOUCH = "Input.dispatchTouchEvent"


@dataclass(frozen=True)
class World:
    portal: Portal
    unused: list[str]

    def saved(self, radiograph: str) -> tuple[str, str, list[dict[str, float]]]:
        """The finding, the kind and the boxes of the newest review."""
        finding, class_name, boxes = self.portal.look_up(
            "select finding, class_name, boxes from reviews_review"
            f" where radiograph_id = '{UUID(radiograph).hex}' order by id desc"
        )
        return finding, class_name, json.loads(boxes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    portal = Portal(tmp_path_factory.mktemp("boxes") / "portal")
    try:
        portal.prepare()
        made = portal.manage("shell", "--no-imports", "-c", MAKE_WORLD)
        portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        portal.wait_until_live()
        yield World(portal, made.split()[-9:])
    finally:
        portal.stop()


def open_review(open_page: Open, world: World, **options: Any) -> tuple[Page, str]:
    """The page of an X-ray without a review, and its id."""
    radiograph = world.unused.pop(0)
    page = open_page("rita", url=world.portal.url, **options)
    page.goto(f"/radiographs/{radiograph}/")
    return page, radiograph


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the image is on the screen, as object-fit: contain places it."""
    box = page.locator(".picture img").bounding_box()
    assert box is not None
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    left = box["x"] + (box["width"] - WIDTH * scale) / 2
    top = box["y"] + (box["height"] - HEIGHT * scale) / 2
    return left + x * scale, top + y * scale


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], *, is_touch: bool) -> None:
    """From one pixel of the image to another."""
    points = [on_screen(page, *start), on_screen(page, *end)]
    middle = tuple(sum(pair) / 2 for pair in zip(*points, strict=True))
    if not is_touch:
        page.mouse.move(*points[0])
        page.mouse.down()
        page.mouse.move(*middle)
        page.mouse.move(*points[1])
        page.mouse.up()
        return
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, ...]) -> None:
        session.send(TOUCH, {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in places]})

    touch("touchStart", points[0])
    touch("touchMove", middle)
    touch("touchMove", points[1])
    touch("touchEnd")


def values(box: Mapping[str, Any]) -> list[float]:
    return [box[name] for name in ("x", "y", "width", "height")]


@pytest.mark.parametrize("is_touch", [False, True], ids=["mouse on a desktop", "finger on a phone"])
def test_a_box_is_drawn_saved_and_shown_where_it_was_drawn(
    open_page: Open, world: World, is_touch: bool
) -> None:
    options = {"viewport": PHONE, "has_touch": True} if is_touch else {"viewport": DESKTOP}
    page, radiograph = open_review(open_page, world, **options)
    expect(page.get_by_role("button", name="Draw a box")).to_be_hidden()
    page.get_by_label("Fracture", exact=True).check()
    page.get_by_role("button", name="Draw a box").click()
    expect(page.get_by_text("Drag on the picture to draw a box")).to_be_in_viewport()
    page.mouse.click(*on_screen(page, 300, 300))
    expect(page.get_by_role("button", name="Stop drawing")).to_be_attached()

    drag(page, (100, 200), (220, 280), is_touch=is_touch)

    item = page.get_by_role("listitem").filter(has_text=re.compile("Box 1, 1(19|2[01]) × (79|8[01]) pixels"))
    expect(item).to_be_visible()
    expect(page).to_have_url(re.compile(f"{radiograph}/$"))
    page.get_by_role("button", name="Save review").last.click()
    expect(page.get_by_text("Review saved: Fracture.")).to_be_visible()
    finding, _, boxes = world.saved(radiograph)
    assert finding == "fracture"
    assert values(boxes[0]) == pytest.approx([100, 200, 120, 80], abs=2)

    page.reload()
    expect(page.get_by_role("img", name="1 box drawn by reviewers")).to_be_visible()
    shown = page.locator(".is-review .review-box").bounding_box()
    assert shown is not None
    (left, top), (right, bottom) = on_screen(page, 100, 200), on_screen(page, 220, 280)
    # Half of the line lies outside of the box.
    outside = 1.25
    expected = [left - outside, top - outside, right - left + 2 * outside, bottom - top + 2 * outside]
    assert values(shown) == pytest.approx(expected, abs=2)
    page.get_by_label("Show boxes of reviewers").uncheck()
    expect(page.get_by_role("img", name="1 box drawn by reviewers")).to_be_hidden()
    expect(page.get_by_role("img", name="1 marked area with a suspected fracture")).to_be_visible()


def test_the_keyboard_draws_a_box(open_page: Open, world: World) -> None:
    page, radiograph = open_review(open_page, world)
    press = page.keyboard.press
    page.get_by_label("Fracture", exact=True).focus()
    press("Space")
    press("Tab")
    expect(page.get_by_label("Kind of fracture")).to_be_focused()
    press("Tab")
    press("Enter")
    picture = page.get_by_role("application", name="X-ray to draw boxes on")
    expect(picture).to_be_focused()
    press("Enter")
    expect(page.get_by_text("Box 1, 96 × 96 pixels", exact=True)).to_be_visible()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft"):
        press(key)
    expect(page.get_by_text("Box 1, 89 × 103 pixels", exact=True)).to_be_visible()
    expect(page.locator("#drawing-status")).to_have_text("Box 1, 89 × 103 pixels.")
    press("Escape")
    draw = page.get_by_role("button", name="Draw a box")
    expect(draw).to_be_focused()
    press("Enter")
    press("Enter")
    expect(page.get_by_text("Box 2, 96 × 96 pixels", exact=True)).to_be_visible()
    press("Delete")
    expect(page.get_by_role("button", name="Remove")).to_have_count(1)

    page.get_by_label("Fracture", exact=True).focus()
    press("Enter")
    expect(page.get_by_text("Review saved: Fracture.")).to_be_visible()
    assert world.saved(radiograph) == (
        "fracture",
        "",
        [{"x": 192.0 + 14, "y": 288.0 - 7, "width": 96.0 - 7, "height": 96.0 + 7}],
    )


def test_the_marks_of_the_answer_are_copied_and_removed(open_page: Open, world: World) -> None:
    page, radiograph = open_review(open_page, world)
    page.get_by_label("Fracture", exact=True).check()
    copy = page.get_by_role("button", name="Copy the marks of the answer")
    copy.click()
    copy.click()
    expect(page.get_by_role("button", name="Remove")).to_have_count(1)
    page.get_by_role("button", name="Remove box 1").click()
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)
    expect(page.get_by_role("button", name="Draw a box")).to_be_focused()
    copy.click()
    page.get_by_role("button", name="Save review").last.click()
    expect(page.get_by_text("Review saved: Fracture.")).to_be_visible()
    assert values(world.saved(radiograph)[2][0]) == list(MARK)


def test_kind_and_boxes_are_left_out_with_another_finding(open_page: Open, world: World) -> None:
    page, radiograph = open_review(open_page, world)
    page.get_by_label("Fracture", exact=True).check()
    page.get_by_label("Kind of fracture").select_option("Spiral fracture")
    page.get_by_role("button", name="Copy the marks of the answer").click()
    expect(page.locator("#drawing")).to_be_visible()
    page.get_by_label("No fracture").check()
    for hidden in ("#drawing", "#review-boxes", "[name=class_name]"):
        expect(page.locator(hidden)).to_be_hidden()
    page.get_by_role("button", name="Save review").last.click()
    expect(page.get_by_text("Review saved: No fracture.")).to_be_visible()
    assert world.saved(radiograph) == ("no_fracture", "", [])


def test_a_click_opens_the_picture_when_nothing_is_drawn(open_page: Open, world: World) -> None:
    page, radiograph = open_review(open_page, world)
    page.get_by_label("Fracture", exact=True).check()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (100, 200), (220, 280), is_touch=False)

    def is_followed(request: Request) -> bool:
        return request.is_navigation_request() and request.url.endswith(f"/{radiograph}/image/")

    # Chromium's own page around a picture would break the policy of the portal.
    page.route(re.compile("/image/$"), lambda route: route.fulfill(status=204))
    with page.expect_request(is_followed):
        page.mouse.click(*on_screen(page, 150, 240))


def test_the_form_works_without_javascript(open_page: Open, world: World) -> None:
    page, radiograph = open_review(open_page, world, java_script_enabled=False)
    kind = page.get_by_label("Kind of fracture")
    expect(kind).to_be_hidden()
    page.get_by_label("Fracture", exact=True).check()
    expect(page.get_by_role("button", name="Draw a box")).to_be_hidden()
    kind.select_option("Spiral fracture")
    page.get_by_label("No fracture").check()
    page.get_by_role("button", name="Save review").last.click()
    expect(page.get_by_text("can only be given with the finding “fracture”")).to_be_visible()
    kind.select_option("Not named")
    expect(kind).to_be_hidden()
    page.get_by_role("button", name="Save review").last.click()
    expect(page.get_by_text("Review saved: No fracture.")).to_be_visible()
    assert world.saved(radiograph) == ("no_fracture", "", [])


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 800}], ids=["390 x 844", "1280 x 800"])
def test_the_answer_and_its_limits_are_read_without_scrolling(
    open_page: Open, world: World, viewport: dict[str, int]
) -> None:
    page = open_page("rita", url=world.portal.url, viewport=viewport)
    page.goto(f"/radiographs/{world.unused[-1]}/")
    answer = page.locator("#answer")
    for text in (
        "Doubtful",
        "Probability of a fracture",
        "This is not a diagnosis.",
        "1,144 X-rays of a hand",
    ):
        expect(answer.get_by_text(text).first).to_be_in_viewport(ratio=1)
    picture = page.locator(".picture").bounding_box()
    box = answer.bounding_box()
    assert picture is not None
    assert box is not None
    if viewport == PHONE:
        assert box["y"] + box["height"] <= picture["y"] < viewport["height"], (
            "the answer stands above the picture"
        )
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


PREDICT_AGAIN = """
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
radiograph = Radiograph.objects.get(id="{id}")
newer = ModelVersion.objects.create(number=2, checksum="2" * 64, card=ModelVersion.objects.live().card)
Prediction.objects.create(radiograph=radiograph, owner=radiograph.owner, model_version=newer)
"""
ANSWER = """
from classifier.radiographs.models import Prediction
Prediction.objects.filter(radiograph="{id}", state="queued").update(
    state="succeeded", finding="no_fracture_seen", fracture_probability=0.01, in_distribution=True
)
"""


def test_a_started_review_stays_when_the_answer_of_another_model_version_arrives(
    open_page: Open, world: World
) -> None:
    page, radiograph = open_review(open_page, world)
    world.portal.manage("shell", "--no-imports", "-c", PREDICT_AGAIN.format(id=radiograph))
    page.reload()
    untouched = page.context.new_page()
    untouched.goto(f"/radiographs/{radiograph}/")
    about_old = "Your review is about the answer of Model 1."
    expect(untouched.get_by_text(about_old)).to_be_visible()
    page.get_by_label("Comment").fill("Do not lose me")

    world.portal.manage("shell", "--no-imports", "-c", ANSWER.format(id=radiograph))

    for shown in (page, untouched):
        expect(shown.get_by_role("heading", name="No fracture seen")).to_be_visible()
    expect(untouched.get_by_role("button", name="Confirm: no fracture seen")).to_be_visible()
    expect(untouched.get_by_text(about_old)).to_have_count(0)
    expect(page.get_by_text(about_old)).to_be_visible()
    expect(page.get_by_label("Comment")).to_have_value("Do not lose me")
