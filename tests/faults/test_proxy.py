"""Behind a real nginx that speaks TLS, under a path, with the configuration from deploy/nginx."""

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.client import Client, png
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, Portal, free_port, is_listening, wait_until

PASSWORD = "correct-horse-battery"


@contextmanager
def nginx(folder: Path, upstream: int, port: int) -> Iterator[Path]:
    """The certificate of the running server."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed: what Callus does behind a TLS proxy is NOT tested")
    folder.mkdir()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    server = (ROOT / "deploy/nginx/callus.conf").read_text()
    for word, value in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "listen 80": f"listen 127.0.0.1:{free_port()}",
        "CERTIFICATE_KEY": str(key),
        "CERTIFICATE": str(certificate),
        "SERVER_NAME": "localhost",
        "UPSTREAM": f"127.0.0.1:{upstream}",
    }.items():
        server = server.replace(word, value)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
        + ("user root;" if Path("/root").owner() == "root" else "")
        + f"events {{}} http {{ access_log off; {paths} {server} }}"
    )
    process = subprocess.Popen(["nginx", "-c", str(configuration), "-p", str(folder)])
    try:
        wait_until(lambda: is_listening(port), what="nginx to listen")
        yield certificate
    finally:
        process.terminate()
        process.wait()


class Browser:
    """What a browser does of itself: cookies, no more. It says what it was redirected to."""

    def __init__(self, url: str, certificate: Path) -> None:
        self.url = url
        self.http = urllib3.PoolManager(
            ssl_context=ssl.create_default_context(cafile=str(certificate)), retries=False, timeout=60
        )
        self.cookies: SimpleCookie = SimpleCookie()

    def send(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        headers = {"Cookie": "; ".join(f"{name}={one.value}" for name, one in self.cookies.items())}
        headers |= options.pop("headers", {})
        answer = self.http.request(method, f"{self.url}{path}", headers=headers, redirect=False, **options)
        for line in answer.headers.getlist("Set-Cookie"):
            self.cookies.load(line)
        return answer

    def token(self, path: str) -> str:
        found = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', self.send("GET", path).data)
        assert found
        return found[1].decode()

    def post(self, path: str, page: str, **fields: Any) -> urllib3.BaseHTTPResponse:
        fields["csrfmiddlewaretoken"] = self.token(page)
        return self.send("POST", path, fields=fields, headers={"Referer": f"{self.url}{page}"})

    def sign_in(self, name: str, password: str) -> urllib3.BaseHTTPResponse:
        return self.post("/accounts/login/", "/accounts/login/", login=name, password=password)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    port = free_port()
    folder = tmp_path_factory.mktemp("proxy")
    portal = Portal(folder / "var", {"PUBLIC_URL": f"https://localhost:{port}/callus"})
    portal.environment["TEST_PROXY_PORT"] = str(port)
    with nginx(folder / "nginx", upstream=portal.port, port=port) as certificate:
        portal.environment["TEST_CERTIFICATE"] = str(certificate)
        try:
            portal.start_up()
            portal.add_users("alice", "bob")
            yield portal
        finally:
            portal.stop()


@pytest.fixture
def browser(portal: Portal) -> Browser:
    return Browser(portal.environment["PUBLIC_URL"], Path(portal.environment["TEST_CERTIFICATE"]))


def test_every_address_that_callus_makes_lies_below_the_public_one(browser: Browser) -> None:
    answer = browser.send("GET", "/")
    assert answer.status == 302
    assert answer.headers["Location"] == "/callus/accounts/login/?next=/callus/"
    page = browser.send("GET", "/accounts/login/").data.decode()
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
    assert links
    assert [link for link in links if not link.startswith("/callus/")] == []
    style = next(link for link in links if ".css" in link)
    assert browser.send("GET", style.removeprefix("/callus")).status == 200


def test_signing_in_uploading_and_seeing_the_answer(browser: Browser) -> None:
    signed_in = browser.sign_in("alice", PASSWORD)
    assert (signed_in.status, signed_in.headers["Location"]) == (302, "/callus/")
    for cookie in browser.cookies.values():
        assert cookie["secure"], cookie.key
        assert cookie["samesite"] == "Lax"
    assert browser.cookies["sessionid"]["httponly"]

    sent = browser.post("/", "/", file=("wrist.png", png(draw_bone(seed=1)), "image/png"))
    assert sent.status == 200
    found = re.search(rb'href="/callus(/radiographs/[0-9a-f-]{36}/)"', sent.data)
    assert found
    result = found[1].decode()
    wait_until(lambda: b"is-waiting" not in browser.send("GET", f"{result}answer/").data, what="the answer")
    image = browser.send("GET", f"{result}image/")
    assert (image.status, image.headers["Content-Type"]) == (200, "image/png")


def test_a_form_that_another_site_sends_is_refused(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)
    token = browser.token("/account/")
    for headers in ({"Origin": "https://evil.example"}, {"Referer": "https://evil.example/"}, {}):
        answer = browser.send(
            "POST", "/account/tokens/", fields={"csrfmiddlewaretoken": token}, headers=dict(headers)
        )
        assert answer.status == 403


def test_it_promises_tls_and_knows_no_other_host(browser: Browser, portal: Portal) -> None:
    answer = browser.send("GET", "/accounts/login/")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    assert browser.send("GET", "/accounts/login/", headers={"Host": "evil.example"}).status == 400
    direct = urllib3.request("GET", f"{portal.url}/accounts/login/", redirect=False, timeout=30)
    assert direct.headers["Location"].startswith("https://"), "without the proxy there is no TLS"


def test_the_api_works_with_its_token_and_links_below_the_path(browser: Browser, portal: Portal) -> None:
    alice = Client.__new__(Client)
    alice.url, alice.http = browser.url, browser.http
    answer = browser.http.request(
        "POST", f"{browser.url}/api/v1/tokens/", json={"username": "alice", "password": PASSWORD}
    )
    assert answer.status == 201
    alice.headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    sent = alice.upload(png(draw_bone(seed=2)))
    assert alice.wait_for_answer(sent["prediction"]["id"])["state"] == "succeeded"
    schema = browser.send("GET", "/api/v1/schema/?format=json").json()
    assert schema["servers"] == [{"url": "/callus"}]


def test_metrics_are_not_for_the_world(browser: Browser) -> None:
    assert browser.send("GET", "/metrics").status == 404


def test_guesses_are_counted_in_all_web_processes_together_and_nobody_hides_behind_a_header(
    browser: Browser,
) -> None:
    for number in range(5):
        browser.cookies.clear()
        forged = {"X-Forwarded-For": f"192.0.2.{number}"}
        answer = browser.http.request(
            "POST",
            f"{browser.url}/api/v1/tokens/",
            json={"username": "bob", "password": "wrong"},
            headers=forged,
        )
        assert answer.status == 401
    answer = browser.http.request(
        "POST", f"{browser.url}/api/v1/tokens/", json={"username": "bob", "password": PASSWORD}
    )
    assert answer.status == 429
