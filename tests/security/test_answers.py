"""Headers leak nothing: not to caches, not to those who ask for a part, not through the name of a file."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.registry.models import ModelVersion
from tests.conftest import xray
from tests.people import signed_in
from tests.security.complete_requests import fill
from tests.security.table import read_rows
from tests.security.world import World

PICTURES = [
    *(f"/radiographs/<radiograph_id>/{name}/" for name in ("image", "thumbnail")),
    *(f"/api/v1/radiographs/<id>/{name}/" for name in ("image", "thumbnail")),
]
PARTS = [
    {"Range": "bytes=0-0"},
    {"Range": "bytes=-1"},
    {"If-None-Match": "*"},
    {"If-Match": "*"},
    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    {"If-Range": '"x"', "Range": "bytes=0-"},
]
# What differs from one answer to the next.
# Headers that differ between any two requests.
PASSING = {"X-Request-ID", "Set-Cookie", "Expires"}


def test_nobody_keeps_what_a_person_was_shown(world: World) -> None:
    """Pictures may be kept by their person's own browser, which must ask each time whether it still may."""
    wrong = []
    for row in read_rows("address"):
        for person in {"anonymous", "owner", "admin"} & row.cells.keys():
            answer = world.ask(person, row.methods[0], row.address)
            rule = set(re.split(", *", answer.headers.get("Cache-Control", "")))
            if not ("private" in rule and rule & {"no-store", "no-cache"}):
                wrong.append(f"{row.methods[0]} {row.address} of {person}: {rule}")
    assert "\n".join(wrong) == ""


@pytest.mark.parametrize("address", PICTURES)
def test_a_part_of_anothers_picture_is_not_there_either(world: World, address: str) -> None:
    whole = world.ask("owner", "GET", address)
    assert whole.status_code == 200
    for headers in PARTS:
        own = world.ask("owner", "GET", address, headers=headers)
        assert own.status_code in (200, 304)
        assert own.body in (whole.body, b"")
        for method in ("GET", "HEAD"):
            for person in ("anonymous", "other"):
                theirs = world.ask(person, method, address, headers=headers)
                none = world.ask(person, method, address, headers=headers, existing=False)
                assert theirs.status_code == none.status_code
                assert theirs.status_code in (302, 401, 404)
                assert shown(theirs, fill(address, world.ids)) == shown(none, fill(address, world.nobodys))


def shown(answer: Any, address: str) -> dict[str, str]:
    headers = {name: value for name, value in answer.headers.items() if name not in PASSING}
    return {name: value.replace(address, "") for name, value in headers.items()}


NAMES = [
    'a"; filename="evil.html',
    "a\r\nSet-Cookie: sessionid=planted\r\n\r\n<script>",
    "a\u2028b\u0085c\x00d",
    "Röntgen 手首 🦴",
    "%0d%0aSet-Cookie: planted",
    "a;b=c,d\\e'f",
]
QUOTED = r"""inline; filename(="([^"\\\r\n]|\\.)*"|\*=utf-8''[\w.%~!$&+^`|#-]*)"""


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_adds_nothing_to_the_headers(
    alice_api: APIClient, alice: User, model: ModelVersion, files: object, name: str
) -> None:
    """Percent-encoded, as a form may send any character of a name."""
    head = (
        f"--line\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''{quote(name)}.png\r\n\r\n"
    )
    body = head.encode() + xray().read() + b"\r\n--line--\r\n"
    made = alice_api.post("/api/v1/radiographs/", body, content_type="multipart/form-data; boundary=line")
    assert made.status_code == 201, made.content
    where = f"/radiographs/{made.json()['id']}"
    pictures = [
        (alice_api, f"/api/v1{where}/image/"),
        (signed_in(alice), f"{where}/image/"),
        (signed_in(alice), f"{where}/thumbnail/"),
    ]
    for client, path in pictures:
        answer: Any = client.get(path)
        assert answer.getvalue()
        assert (answer.status_code, list(answer.cookies)) == (200, [])
        assert re.fullmatch(QUOTED, answer["Content-Disposition"]), answer["Content-Disposition"]
