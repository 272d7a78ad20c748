"""Each address of the portal answers each person as docs/authorisation.md says."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.urls import get_resolver

from classifier.core.models import User
from tests.security.complete_requests import Ids, fill
from tests.security.table import Row, addresses, read_rows
from tests.security.world import World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROWS = read_rows("address")
KINDS = read_rows("kind")
# One person of those whom a table calls so.
STANDING_FOR = {"signed in": "reviewer"}


def outcome(world: World, person: str, method: str, address: str, **options: Any) -> tuple[str, Any]:
    """The answer in a word of the tables, and the answer itself."""
    person = STANDING_FOR.get(person, person)
    answer = world.ask(person, method, address, **options)
    word = "yes" if 200 <= answer.status_code < 400 else str(answer.status_code)
    if answer.status_code in (301, 302):
        place = urlsplit(answer["Location"])
        if place.path == "/accounts/login/" and "next=" in place.query:
            word = "sign in"
        elif place.path == "/accounts/reauthenticate/":
            word = "password"
        elif place.path == "/admin/login/":
            return outcome(world, person, method, "/admin/login/")
        elif method != "POST" or world.ask(person, "GET", address).status_code == 302:
            word = "elsewhere"
    return word, answer


def people(row: Row) -> Iterator[tuple[str, str]]:
    """Each person with what the row says of them."""
    return ((name, word) for name, word in row.cells.items() if name not in ("address", "methods", "what"))


def test_every_address_has_its_row() -> None:
    existing = set(addresses(get_resolver().url_patterns))
    kinds = {kind._meta.label_lower.replace(".", "/") for kind in admin.site._registry}
    of_kinds = {each for each in existing if each.startswith(tuple(f"/admin/{kind}/" for kind in kinds))}
    assert existing - of_kinds == {row.address for row in ROWS}
    assert kinds == {row.cells["kind"].strip("`") for row in KINDS}


@pytest.mark.parametrize("section", dict.fromkeys(row.section for row in ROWS))
def test_each_person_is_answered_as_the_table_says(world: World, section: str) -> None:
    wrong = []
    for row in (row for row in ROWS if row.section == section):
        for method in row.methods:
            for person, word in people(row):
                found, answer = outcome(world, person, method, row.address)
                if found != word:
                    wrong.append(f"{method} {row.address} of {person}: {found}, not {word}")
                if method == "HEAD" and answer.body:
                    wrong.append(f"HEAD {row.address} of {person} has a body")
    assert "\n".join(wrong) == ""


@pytest.mark.parametrize("section", dict.fromkeys(row.section for row in ROWS))
def test_a_method_without_a_row_is_refused(world: World, section: str) -> None:
    """405 for who may do something there; who may do nothing need not learn which methods there are.

    OPTIONS may tell the methods as well: nothing of what is there.
    """
    wrong = []
    for address in dict.fromkeys(row.address for row in ROWS if row.section == section):
        rows = [row for row in ROWS if row.address == address]
        named = {method for row in rows for method in row.methods}
        for person, _ in people(rows[0]):
            words = {row.cells[person] for row in rows}
            for method in (method for method in METHODS if method not in named):
                allowed = {"405"} if "yes" in words else {"405", *words}
                found, _ = outcome(world, person, method, address)
                if found not in (allowed | {"yes"} if method == "OPTIONS" else allowed):
                    wrong.append(f"{method} {address} of {person}: {found}")
    assert "\n".join(wrong) == ""


# What is asked for stands in the form.
ASKED_FOR_IN_FORM = (
    "/radiographs/delete/",
    "/predictions/again/",
    "/api/v1/prediction-batches/",
)


def is_about_a_thing(row: Row) -> bool:
    """Something that may exist or not."""
    return row.address in ASKED_FOR_IN_FORM or bool(re.search(r"<(\w*_?id|number|token_key)>", row.address))


@pytest.mark.parametrize("section", dict.fromkeys(row.section for row in filter(is_about_a_thing, ROWS)))
def test_what_is_anothers_is_answered_like_what_does_not_exist(world: World, section: str) -> None:
    wrong = []
    for row in (row for row in ROWS if row.section == section and is_about_a_thing(row)):
        for method in row.methods:
            for person, _ in people(row):
                word, answer = outcome(world, person, method, row.address)
                no_word, none = outcome(world, person, method, row.address, existing=False)
                if word == "yes" and no_word != "404":
                    wrong.append(f"{method} {row.address} of {person}: {no_word} for what does not exist")
                answers = seen(answer, row.address, world.ids), seen(none, row.address, world.nobodys)
                if word != "yes" and answers[0] != answers[1]:
                    wrong.append(f"{method} {row.address} of {person}: told apart")
    assert "\n".join(wrong) == ""


def seen(answer: Any, address: str, ids: Ids) -> tuple[int, str, str]:
    """All that the asker sees, but for what they asked for and what differs each time."""
    text = re.sub(r'"\w{64}"', "CSRF token", answer.body.decode(errors="replace"))
    asked = {fill(address, ids): "ADDRESS", str(ids["radiograph_id"]): "ID"}
    place = answer.headers.get("Location", "")
    for part, name in asked.items():
        text, place = text.replace(part, name), place.replace(part, name)
    return answer.status_code, text, place


@pytest.mark.parametrize("row", KINDS, ids=lambda row: row.cells["kind"])
def test_the_administration_keeps_to_the_table(world: World, row: Row) -> None:
    base = f"/admin/{row.cells['kind'].strip('`')}/"
    (kind,) = (
        kind for kind in admin.site._registry if kind._meta.label_lower == base[7:-1].replace("/", ".")
    )
    world.ids["object_id"] = existing_key(kind)
    world.nobodys["object_id"] = "7000000"
    pages = {
        "list": base,
        "add": f"{base}add/",
        "history": f"{base}<object_id>/history/",
        "change": f"{base}<object_id>/change/",
        "delete": f"{base}<object_id>/delete/",
    }
    for page, address in pages.items():
        word = row.cells[page]
        reads, writes = (outcome(world, "admin", method, address)[0] for method in ("GET", "POST"))
        expected = {"yes": ("yes", "yes"), "read": ("yes", "403"), "403": ("403", "403")}[word]
        assert (reads, writes) == expected, address
        for method in ("GET", "POST"):
            for existing in (True, False):
                refused = [
                    outcome(world, person, method, address, existing=existing)[0]
                    for person in ("anonymous", "reviewer", "staff")
                ]
                assert refused == ["sign in", "403", "403"], (method, address, existing)


def existing_key(kind: Any) -> str:
    thing = kind._default_manager.first()
    assert thing is not None, f"The world of these tests has no {kind._meta.verbose_name}."
    return str(thing.pk)


def test_a_session_opens_the_api_as_far_as_a_token_does(world: World) -> None:
    wrong = []
    for row in (row for row in ROWS if row.section == "REST API"):
        for person, word in people(row):
            found, _ = outcome(world, person, row.methods[0], row.address, with_session=True)
            if found != ("401" if row.address == "/api/v1/tokens/current/" else word):
                wrong.append(f"{row.methods[0]} {row.address} of {person}: {found}")
    assert "\n".join(wrong) == ""


def test_who_is_not_active_is_a_stranger(world: World) -> None:
    User.objects.filter(username__in=["owner", "admin"]).update(is_active=False)
    wrong = []
    for row in ROWS:
        for person in {"owner", "admin"} & row.cells.keys():
            found, _ = outcome(world, person, row.methods[0], row.address, with_session=True)
            if found != row.cells["anonymous"]:
                wrong.append(f"{row.methods[0]} {row.address} of {person}: {found}")
    assert "\n".join(wrong) == ""


def test_what_is_sent_with_a_session_needs_the_csrf_token(world: World) -> None:
    world.client.handler.enforce_csrf_checks = True
    wrong, number = [], 0
    for row in ROWS:
        for method in {"POST", "PUT", "PATCH", "DELETE"} & set(row.methods):
            for person in {"anonymous", "owner", "trainer", "promoter", "admin"} & row.cells.keys():
                # With a name and password, or a token, no browser sends anything by itself.
                if row.cells[person] != "yes" or row.address.startswith("/api/v1/tokens/"):
                    continue
                answer = world.ask(person, method, row.address, with_session=True)
                number += 1
                if answer.status_code != 403:
                    wrong.append(f"{method} {row.address} of {person}: {answer.status_code}")
    assert "\n".join(wrong) == ""
    assert number > 100
