"""The gunicorn worker: limits the connections of one address and the time for the headers of a request."""

import resource
from asyncio import BaseTransport, TimerHandle
from collections import Counter
from typing import Any

from django.conf import settings
from gunicorn import glogging
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from portal.logs import KeyValueFormatter

HEADER_SECONDS = 15.0
# In one process. Behind a proxy, all connections come from its address, and the proxy limits those of one client.
CONNECTIONS_PER_ADDRESS = 400
# Each upload takes a socket and a file. The usual limit of 1,024 would let three addresses exhaust it.
MAX_OPEN_FILES = 16_384

connections: Counter[str] = Counter()


class Connection(ASGIProtocol):  # type: ignore[misc]
    """One connection of a client."""

    _address: str = ""
    _header_timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Accepts the connection, or closes it if its address has too many."""
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        connections[self._address] += 1
        super().connection_made(transport)
        if connections[self._address] > CONNECTIONS_PER_ADDRESS and not settings.TRUSTED_PROXIES:
            transport.abort()  # type: ignore[attr-defined]
            return
        # gunicorn itself limits the time until a later request of the connection, but not until the first one.
        self._header_timer = self.worker.loop.call_later(HEADER_SECONDS, self._close_without_request)

    def data_received(self, data: bytes) -> None:
        """Reads a part of a request."""
        try:
            super().data_received(data)
        except ValueError:
            # gunicorn passes a length of any number of digits to int().
            self._send_error_response(400, "Invalid Content-Length value")
            self._close_transport()

    def _close_without_request(self) -> None:
        if self.req_count <= 1 and self._current_request is None:
            self._close_transport()
            self._request_ready.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        if self._header_timer:
            self._header_timer.cancel()
        connections[self._address] -= 1
        if not connections[self._address]:
            del connections[self._address]
        super().connection_lost(exc)


class Logger(glogging.Logger):  # type: ignore[misc]
    """The log of gunicorn in the portal's format, which leaves secrets out."""

    def setup(self, cfg: Any) -> None:
        """Sets up the handlers."""
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(KeyValueFormatter())


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]
    """The ASGI worker of gunicorn with the connections above."""

    def init_process(self) -> None:
        """Runs the worker until it is stopped."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_OPEN_FILES if most == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        # The worker has no setting for the class of its connections.
        gasgi.ASGIProtocol = Connection
        super().init_process()
