"""Clients that send or read slowly, and bodies that nobody wants, with no proxy in front of the embedded default."""

import contextlib
import io
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest
import urllib3

from tests.client import Client, large_xray, png
from tests.ml.data.test_jpeg_scans import progressive
from tests.ml.drawings import draw_bone
from tests.servers import Portal, running_portal, wait_until

MULTIPART = "Content-Type: multipart/form-data; boundary=line"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("slow") / "var") as portal:
        portal.add_users("alice", "bob")
        yield portal


@pytest.fixture(scope="module")
def alice(portal: Portal) -> Client:
    return Client(portal.url, "alice")


def part(name: str = "x-ray.png") -> bytes:
    return f'--line\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()


def head(portal: Portal, line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: 127.0.0.1:{portal.port}", *headers, "", ""]).encode()


def upload_head(portal: Portal, client: Client, *headers: str) -> bytes:
    token = f"Authorization: {client.headers['Authorization']}"
    return head(portal, "POST /api/v1/radiographs/", token, MULTIPART, *headers)


def connect(portal: Portal, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", portal.port), timeout=20)
    connection.sendall(sent)
    return connection


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """Status and content. Closes the connection."""
    with connection, HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status, answer.read().decode()


@contextmanager
def many(number: int, open_one: Callable[[], socket.socket]) -> Iterator[list[socket.socket]]:
    connections = [open_one() for _ in range(number)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def assert_answers_within_a_second(portal: Portal) -> None:
    """The best of five, because other tests keep the processors busy: held threads would delay all five."""
    for path in ("/livez", "/accounts/login/"):
        taken = []
        for _ in range(5):
            started = time.monotonic()
            assert urllib3.request("GET", portal.url + path, retries=False, timeout=30).status == 200
            taken.append(time.monotonic() - started)
        assert min(taken) < 1, (path, taken)


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_pages_are_answered_while_two_hundred_uploads_trickle(portal: Portal, alice: Client) -> None:
    start = upload_head(portal, alice, "Content-Length: 5000000") + part()
    with many(200, lambda: connect(portal, start)) as uploads:
        for _ in range(3):
            for upload in uploads:
                upload.sendall(b"a" * 1024)
            assert_answers_within_a_second(portal)
        alice.upload(png(draw_bone()))


def test_one_account_that_sends_expensive_files_does_not_delay_another(portal: Portal, alice: Client) -> None:
    expensive = progressive(8000)
    body = (part() + expensive + b"\r\n") * 3 + b"--line--\r\n"
    start = upload_head(portal, alice, f"Content-Length: {len(body)}") + body
    bob = Client(portal.url, "bob")
    # Sixteen requests at a time in all, whichever of them are done.
    with many(16, lambda: connect(portal, start)) as first, many(16, lambda: connect(portal, start)):
        assert_answers_within_a_second(portal)
        taken = []
        for seed in range(3):
            started = time.monotonic()
            bob.upload(png(draw_bone(seed=seed)))
            taken.append(time.monotonic() - started)
        # The first may start a decoder process, which takes seconds on a busy machine.
        assert sorted(taken)[1] < 10, taken
        assert not all(map(is_closed, first)), "the expensive files were not under way"


def test_an_absurd_length_is_refused_without_a_traceback(portal: Portal) -> None:
    absurd = "Content-Length: " + "9" * 5000
    assert answer_of(connect(portal, head(portal, "POST /accounts/login/", absurd)))[0] == 400
    assert "Exceeds the limit" not in portal.console()


def test_an_upload_that_cannot_be_written_to_a_file_gets_a_sentence(portal: Portal, alice: Client) -> None:
    incoming, aside = portal.data_dir / "incoming", portal.data_dir / "aside"

    def storage_status() -> int:
        return urllib3.request("GET", f"{portal.url}/readyz?part=storage", retries=False, timeout=30).status

    incoming.rename(aside)
    try:
        body = part() + b"a" * 200_000
        start = upload_head(portal, alice, f"Content-Length: {len(body)}")
        status, content = answer_of(connect(portal, start + body))
        assert status == 503
        assert "nothing was stored" in content
        wait_until(lambda: storage_status() == 503, what="the portal not to be ready", seconds=10)
    finally:
        aside.rename(incoming)
    wait_until(lambda: storage_status() == 200, what="the portal to be ready", seconds=10)
    assert "Error in ASGI application" not in portal.console()


def test_an_address_that_is_too_long_is_refused(portal: Portal) -> None:
    assert answer_of(connect(portal, head(portal, "GET /" + "a" * 5000)))[0] == 414


def test_half_a_header_costs_no_thread_and_is_cut_off(portal: Portal) -> None:
    half = head(portal, "GET /").rstrip() + b"\r\nX-Long: "
    with many(48, lambda: connect(portal, half)) as connections:
        assert_answers_within_a_second(portal)
        for connection in connections:
            connection.setblocking(False)
        wait_until(lambda: all(map(is_closed, connections)), what="the server to close them", seconds=40)


def test_one_address_holds_a_limited_number_of_connections(portal: Portal) -> None:
    with many(850, lambda: connect(portal, b"")) as connections:
        wait_until(lambda: any(map(is_closed, connections)), what="some to be closed", seconds=10)
    assert_answers_within_a_second(portal)


def test_downloads_that_nobody_reads_hold_no_thread(portal: Portal, alice: Client) -> None:
    sent = alice.upload(large_xray(3000))
    token = f"Authorization: {alice.headers['Authorization']}"

    def start() -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", portal.port))
        connection.sendall(head(portal, f"GET /api/v1/radiographs/{sent['id']}/image/", token))
        return connection

    with many(48, start):
        assert_answers_within_a_second(portal)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("POST /", 403),
        ("POST /accounts/login/", 403),
        ("POST /nowhere/", 404),
        ("POST /api/v1/radiographs/", 401),
        ("PUT /livez", 403),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
def test_a_large_body_of_a_visitor_is_not_read(portal: Portal, line: str, status: int, length: str) -> None:
    connection = connect(portal, head(portal, line, MULTIPART, length))
    chunk = part() + b"a" * 70_000
    connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" if "chunked" in length else b"")
    assert answer_of(connection)[0] == status


def test_an_upload_that_comes_slowly_is_kept(portal: Portal, alice: Client) -> None:
    body = part("slow.png") + png(draw_bone(seed=7)) + b"\r\n--line--\r\n"
    connection = connect(portal, upload_head(portal, alice, f"Content-Length: {len(body)}"))
    size = len(body) // 4 + 1
    for start in range(0, len(body), size):
        connection.sendall(body[start : start + size])
        assert_answers_within_a_second(portal)
    assert answer_of(connection)[0] == 201


def test_an_upload_in_chunks_is_kept(portal: Portal, alice: Client) -> None:
    body = part("chunked.png") + large_xray(900) + b"\r\n--line--\r\n"
    connection = connect(portal, upload_head(portal, alice, "Transfer-Encoding: chunked"))
    for start in range(0, len(body), 10_000):
        chunk = body[start : start + 10_000]
        connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    status, content = answer_of(connection)
    assert status == 201
    assert "chunked.png" in content


def test_a_file_over_the_limit_is_refused_before_it_is_sent(portal: Portal, alice: Client) -> None:
    connection = connect(portal, upload_head(portal, alice, "Content-Length: 900000000"))
    status, content = answer_of(connection)
    assert status == 413
    assert "too large" in content


def test_an_export_is_whole(portal: Portal, alice: Client) -> None:
    for seed in (1, 2, 3):
        alice.upload(png(draw_bone(seed=seed)))
    answer = alice.http.request("GET", f"{portal.url}/api/v1/account/export/", headers=alice.headers)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert len([name for name in archive.namelist() if name.startswith("images/")]) >= 3


def test_a_header_with_underscores_is_not_taken_for_the_proxys(portal: Portal) -> None:
    answer = urllib3.request(
        "GET", f"{portal.url}/livez", headers={"X_Request_ID": "a-planted-trace-id"}, timeout=30
    )
    assert answer.headers["X-Request-ID"] != "a-planted-trace-id"


def test_a_client_that_leaves_leaves_no_file_behind(portal: Portal, alice: Client) -> None:
    def num_open() -> int:
        found = 0
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            # Other processes close files meanwhile.
            with contextlib.suppress(OSError):
                found += str(portal.data_dir / "incoming") in str(link.readlink())
        return found

    start = upload_head(portal, alice, "Content-Length: 5000000") + part() + b"a" * 200_000
    with many(3, lambda: connect(portal, start)):
        wait_until(lambda: num_open() >= 3, what="the uploads to be written to files")
    wait_until(lambda: num_open() == 0, what="the files to be gone")
