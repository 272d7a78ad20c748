"""The ASGI application that gunicorn serves: it reads each request, runs Django in a thread, and sends the answer."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from classifier.core.errors import StorageAway, StorageFull
from classifier.core.storage import is_storage_full
from portal.server import bodies
from portal.server.environ import client_address, make_environ
from portal.server.senders import ANONYMOUS_MAX_BYTES, Sender, identify
from portal.server.turns import SharedThreads

Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)
LIVEZ = "/livez"
PAGE_THREADS = 8
# For each address, so that another address finds a free one during a flood of sign-ins, which take long on purpose.
PAGE_THREADS_OF_ONE = 6
# Find out who sends a large body. Apart from the pages, so that hundreds of uploads at once do not delay these.
DOOR_THREADS = 2
# Uploads decode pictures, which takes up to seconds and 0.7 GB each: as many as ml.data.sandbox has decoders, and one
# for each user, so that another user's upload finds a free one.
UPLOAD_THREADS = 2
UPLOAD_THREADS_OF_ONE = 1
# Uploads of one user that are being received or wait for their turn.
UPLOADS_OF_ONE = 250
RETRY_AFTER_SECONDS = 5
# A client that takes longer for CHUNK_BYTES of an answer is cut off.
SEND_SECONDS = 60.0
CHUNK_BYTES = 64 * 1024
END = object()


class Refused(Exception):
    """The request is answered with a sentence instead of the page."""

    def __init__(self, status: int, sentence: str, retry_after: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after = retry_after


@dataclass
class Answer:
    """The answer of Django.

    Attributes:
        status: HTTP status.
        headers: names and values.
        content: the whole content, or its chunks if it is a stream.
        close: ends the stream.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes | Iterable[bytes]
    close: Callable[[], None] = lambda: None


class Application:
    """Serves a WSGI application whose threads never wait for a client."""

    def __init__(self, wsgi: Callable[..., Any]) -> None:
        self.wsgi = wsgi
        self.door = ThreadPoolExecutor(DOOR_THREADS, "door")
        # Apart from the pages, because a portal that is busy is alive.
        self.liveness = SharedThreads("livez", 1, 1)
        self.pages = SharedThreads("page", PAGE_THREADS, PAGE_THREADS_OF_ONE)
        self.uploads = SharedThreads("upload", UPLOAD_THREADS, UPLOAD_THREADS_OF_ONE)
        self.uploading: Counter[int] = Counter()

    async def __call__(self, scope: dict[str, Any], receive: bodies.Receive, send: Send) -> None:
        """Answers one request. Callus has no websockets."""
        if scope["type"] != "http":
            return
        environ = make_environ(scope)
        try:
            answer = await self._respond(environ, receive)
        except Refused as refused:
            answer = _sentence(environ, refused)
        except bodies.ClientGone:
            return
        await self._send(environ, answer, send)
        await bodies.discard(receive) if environ.get("callus.unread") else None

    async def _respond(self, environ: dict[str, Any], receive: bodies.Receive) -> Answer:
        is_upload = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/")
        sender = None
        if is_upload or _declared_bytes(environ) > ANONYMOUS_MAX_BYTES:
            sender = await asyncio.get_running_loop().run_in_executor(self.door, identify, environ)
        if sender is None or not is_upload:
            body = await _receive(environ, receive, sender)
            threads = self.liveness if environ["PATH_INFO"] == LIVEZ else self.pages
            return await self._call_in(threads, client_address(environ), environ, body)
        if self.uploading[sender.user_id] >= UPLOADS_OF_ONE:
            environ["callus.unread"] = True
            raise Refused(
                429,
                "You are sending too many files at the same time. Wait for some to finish, then try again.",
                RETRY_AFTER_SECONDS,
            )
        self.uploading[sender.user_id] += 1
        try:
            body = await _receive(environ, receive, sender)
            return await self._call_in(self.uploads, sender.user_id, environ, body)
        finally:
            self.uploading[sender.user_id] -= 1
            self.uploading += Counter()  # drops those at zero

    async def _call_in(
        self, threads: SharedThreads, user: int | str, environ: dict[str, Any], body: bodies.Body
    ) -> Answer:
        answer: Answer = await threads.run(user, self._call, environ, body, if_left=body.close)
        return answer

    def _call(self, environ: dict[str, Any], body: bodies.Body) -> Answer:
        """Runs Django. Called in a thread, which owns the body."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [int(status[:3]), headers]

        with body:
            environ["wsgi.input"] = body
            result = self.wsgi(environ, start_response)
        status, headers = started
        encoded = [
            (name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers
        ]
        close = getattr(result, "close", lambda: None)
        if getattr(result, "streaming", True):
            return Answer(status, encoded, result, close)
        try:
            return Answer(status, encoded, b"".join(result))
        finally:
            close()

    async def _send(self, environ: dict[str, Any], answer: Answer, send: Send) -> None:
        is_head, client = environ["REQUEST_METHOD"] == "HEAD", client_address(environ)
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            if isinstance(answer.content, bytes):
                await _send_chunk(send, b"" if is_head else answer.content, more=False)
                return
            chunks = iter(answer.content)
            # Each chunk is made in a thread, which is free again while the client reads it.
            while not is_head and (chunk := await self.pages.run(client, next, chunks, END)) is not END:
                if chunk:
                    await _send_chunk(send, chunk, more=True)
            await _send_chunk(send, b"", more=False)
        except TimeoutError:
            log.info("A client read an answer too slowly and was cut off")
        finally:
            if not isinstance(answer.content, bytes):
                await asyncio.shield(self.pages.run(client, answer.close))


async def _receive(environ: dict[str, Any], receive: bodies.Receive, sender: Sender | None) -> bodies.Body:
    """Returns the body of the request. One that is too large is not read, and the views find it empty.

    A known sender's request keeps its length, by which the views refuse it. A visitor's is answered like one without a
    body: sign in, not found.
    """
    limit = sender.max_bytes if sender else ANONYMOUS_MAX_BYTES
    declared = _declared_bytes(environ)
    body = bodies.new_body()
    try:
        if declared > limit:
            raise bodies.TooLarge
        environ["CONTENT_LENGTH"] = str(await bodies.read(receive, body, limit))
        return body
    except bodies.TooLarge:
        body.close()
        environ["callus.unread"] = True
        environ["CONTENT_LENGTH"] = str(max(declared, limit + 1)) if sender else "0"
        if not sender:
            environ.pop("CONTENT_TYPE", None)
        return bodies.new_body()
    except bodies.TooSlow:
        body.close()
        raise Refused(408, "The connection is too slow: the upload was not received in time.") from None
    except OSError as error:
        body.close()
        environ["callus.unread"] = True
        log.error("The body of a request could not be written to a file: %s", error)
        reason = StorageFull if is_storage_full(error) else StorageAway
        raise Refused(reason.status, reason.message, RETRY_AFTER_SECONDS) from error
    except BaseException:
        body.close()
        raise


def _declared_bytes(environ: dict[str, Any]) -> int:
    """Returns the length of the body, or more than any limit for visitors if its length is not declared."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return ANONYMOUS_MAX_BYTES + 1
    length = environ.get("CONTENT_LENGTH", "")
    return int(length) if length.isascii() and length.isdigit() else 0


async def _send_chunk(send: Send, chunk: bytes, *, more: bool) -> None:
    message = {"type": "http.response.body", "body": chunk, "more_body": more}
    await asyncio.wait_for(send(message), SEND_SECONDS)


def _sentence(environ: dict[str, Any], refused: Refused) -> Answer:
    is_json = environ["PATH_INFO"].startswith("/api/") or "json" in environ.get("HTTP_ACCEPT", "")
    content = (json.dumps({"detail": str(refused)}) if is_json else f"{refused}\n").encode()
    headers = [
        (b"content-type", b"application/json" if is_json else b"text/plain; charset=utf-8"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"private, no-store"),
    ]
    if refused.retry_after:
        headers.append((b"retry-after", str(refused.retry_after).encode()))
    return Answer(refused.status, headers, content)
