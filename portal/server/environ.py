"""The WSGI environment of an ASGI request."""

import io
import sys
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from django.conf import settings

SINGLE = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


def make_environ(scope: dict[str, Any]) -> dict[str, Any]:
    """Returns the environment, with an empty body."""
    server, client = scope.get("server") or ("", 0), scope.get("client") or ("", 0)
    return {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"].partition(b"?")[0]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        **_headers(scope["headers"]),
    }


def client_address(environ: dict[str, Any]) -> str:
    """Returns the address of the client: that of the connection, or what the trusted proxies say."""
    if not settings.TRUSTED_PROXIES:
        return str(environ["REMOTE_ADDR"])
    named = environ.get("HTTP_X_FORWARDED_FOR", environ["REMOTE_ADDR"]).split(",")
    return str(named[-min(settings.TRUSTED_PROXIES, len(named))].strip())


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        # X_Forwarded_For would become the same variable as the X-Forwarded-For that the proxy sets.
        if b"_" in name:
            continue
        key = SINGLE.get(name.lower()) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        text = value.decode("latin-1")
        separator = "; " if key == "HTTP_COOKIE" else ","
        found[key] = f"{found[key]}{separator}{text}" if key in found else text
    return found
