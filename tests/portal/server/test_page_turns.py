"""Addresses take turns in the threads of the pages, and /livez needs none of them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from portal.server.app import PAGE_THREADS, Application

FLOOD = "10.0.0.1"
OTHER = "10.0.0.2"
PATIENCE_SECONDS = 20


async def get(portal: Application, path: str, address: str, *headers: tuple[bytes, bytes]) -> int:
    """The status of the answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "raw_path": path.encode(),
        "query_string": b"",
        "client": (address, 1),
        "headers": headers,
    }
    await portal(scope, receive, send)
    return int(sent[0]["status"])


def flooded(ask: Callable[[Application], Any]) -> Any:
    """What `ask` returns while FLOOD waits for many pages that do not end."""
    release, begun = threading.Event(), threading.Event()

    def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponse:
        if environ["PATH_INFO"] == "/slow":
            begun.set()
            release.wait()
        start_response("200 OK", [])
        return HttpResponse("page")

    async def scenario() -> Any:
        portal = Application(pages)
        flood = [asyncio.create_task(get(portal, "/slow", FLOOD)) for _ in range(10 * PAGE_THREADS)]
        try:
            await asyncio.to_thread(begun.wait)
            return await asyncio.wait_for(ask(portal), PATIENCE_SECONDS)
        finally:
            release.set()
            assert await asyncio.gather(*flood) == [200] * len(flood)

    return asyncio.run(scenario())


def test_one_address_leaves_threads_to_others() -> None:
    assert flooded(lambda portal: get(portal, "/", OTHER)) == 200


def test_a_flooded_portal_says_that_it_lives() -> None:
    assert flooded(lambda portal: get(portal, "/livez", FLOOD)) == 200


def test_behind_a_proxy_the_address_of_the_client_counts(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    forwarded = (b"x-forwarded-for", f"{FLOOD}, {OTHER}".encode())
    assert flooded(lambda portal: get(portal, "/", FLOOD, forwarded)) == 200
    with pytest.raises(TimeoutError):
        forged = (b"x-forwarded-for", f"{OTHER}, {FLOOD}".encode())
        flooded(lambda portal: asyncio.wait_for(get(portal, "/", OTHER, forged), 0.5))
