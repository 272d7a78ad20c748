import json
import logging
import sys

import pytest
from django.test import Client

from classifier.core import trace
from portal.logs import KeyValueFormatter


def line(message: str, *arguments: object, **extra: object) -> str:
    record = logging.getLogger("portal.test").makeRecord(
        "portal.test", logging.INFO, __file__, 1, message, arguments, None, extra=extra
    )
    return KeyValueFormatter().format(record)


def test_a_line_is_made_of_keys_and_values() -> None:
    assert line("answered", seconds=0.25, state="succeeded").endswith(
        "level=INFO logger=portal.test message=answered seconds=0.25 state=succeeded"
    )


def test_what_would_break_the_line_is_quoted() -> None:
    assert line("two words", odd='a "b" = c\nnext').endswith(r'message="two words" odd="a \"b\" = c\nnext"')


def test_a_traceback_stays_on_one_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())
    text = KeyValueFormatter().format(record)
    assert "ValueError: broken" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Forbidden (CSRF cookie not set.): /callus/first-admin/SECRET:1abc:x-y_z/",
        "GET https://xray.example.org/accounts/password/reset/key/3-SECRET/ HTTP/1.1",
        "/accounts/confirm-email/SECRET/",
        "/accounts/login/?next=%2Ffirst-admin%2FSECRET%2F",
        "{'HTTP_AUTHORIZATION': 'Bearer SECRET', 'HTTP_COOKIE': 'sessionid=SECRET; csrftoken=SECRET'}",
        "Authorization: Bearer SECRET",
        "Cookie: sessionid=SECRET",
        "POST username=alice&password=SECRET&csrfmiddlewaretoken=SECRET",
        'login failed: {"username": "alice", "password": "SECRET"}',
        "could not connect to postgres://callus:SECRET@postgres:5432/callus",
        "redis://:SECRET@redis:6379/0 is down",
    ],
)
def test_no_logger_writes_a_secret(text: str) -> None:
    assert "SECRET" in text
    assert "SECRET" not in line(text)
    assert "SECRET" not in line("%s", text)
    assert "SECRET" not in line("an error", path=text)
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())
    assert "SECRET" not in KeyValueFormatter().format(record).replace("raise ValueError", "")


def test_what_is_not_secret_stays() -> None:
    text = "Forbidden (CSRF cookie not set.): /accounts/login/ method=POST tokens: 3"
    assert json.dumps(text) in line(text)


@pytest.mark.django_db
def test_each_request_has_an_id_that_its_log_lines_and_its_answer_carry(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(KeyValueFormatter())
    with caplog.at_level(logging.INFO, logger="portal.middleware"):
        answer = client.post("/accounts/login/", {"login": "nobody", "password": "secret-word"})
    assert f"trace={answer['X-Request-ID']}" in caplog.text
    assert "route=accounts/login/" in caplog.text
    assert "secret-word" not in caplog.text
    assert trace.current_id() == ""


@pytest.mark.django_db
def test_a_proxys_id_is_kept_unless_it_could_harm_the_log(client: Client) -> None:
    assert (
        client.get("/livez", headers={"X-Request-ID": "0123456789abcdef"})["X-Request-ID"]
        == "0123456789abcdef"
    )
    for given in ("short", "a" * 65, "0123456789\ttrace=forged"):
        assert client.get("/livez", headers={"X-Request-ID": given})["X-Request-ID"] != given
