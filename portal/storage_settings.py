"""Django's settings of the file storage, from STORAGE_URL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.core.exceptions import ImproperlyConfigured

from portal import env

FORM = "STORAGE_URL must look like s3://BUCKET?endpoint_url=..."
# An upload does not wait for minutes for a storage that is away.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 30, 2
# The options that go into botocore's configuration of the client.
CLIENT_OPTIONS = ("addressing_style", "signature_version")


def storage(url: str, folder: Path) -> dict[str, object]:
    """Returns the settings of a bucket, or of `folder` if the URL is empty.

    Raises:
        ImproperlyConfigured: the URL is malformed or has an unknown option.
    """
    if not url:
        options = {"location": folder, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
        return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.hostname:
        raise ImproperlyConfigured(f"{FORM}, received {url!r}.")
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": _s3_options(parts.netloc, dict(parse_qsl(parts.query, keep_blank_values=True))),
    }


def _s3_options(bucket: str, given: dict[str, str]) -> dict[str, Any]:
    read = {name: _read(name, value) for name, value in given.items()}
    client = {name: read.pop(name) for name in CLIENT_OPTIONS if name in read}
    keys = {
        "access_key": env.text("AWS_ACCESS_KEY_ID"),
        "secret_key": env.text("AWS_SECRET_ACCESS_KEY"),
    }
    return {
        "bucket_name": bucket,
        "default_acl": None,
        "querystring_auth": True,
        "client_config": _client_config(client),
        **{name: value for name, value in keys.items() if value},
        **read,
    }


def _client_config(options: dict[str, str]) -> Any:
    from botocore.config import Config  # takes long to import, and most portals do not need it

    style = options.get("addressing_style")
    return Config(
        signature_version=options.get("signature_version"),
        s3={"addressing_style": style} if style else None,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"max_attempts": ATTEMPTS, "mode": "standard"},
    )


def _read(name: str, value: str) -> Any:
    if name not in OPTIONS:
        raise ImproperlyConfigured(f"STORAGE_URL has the unknown option {name}. Known: {', '.join(OPTIONS)}.")
    return OPTIONS[name](f"{name} in STORAGE_URL", value)


def _text(name: str, value: str) -> str:
    return value


def _verify(name: str, value: str) -> bool | str:
    """Reads whether to verify the certificate, or the path of the certificates of trusted authorities."""
    return value if "/" in value else env.parse_flag(name, value)


OPTIONS: dict[str, Callable[[str, str], Any]] = {
    "endpoint_url": _text,
    "region_name": _text,
    "location": _text,
    "addressing_style": _text,
    "signature_version": _text,
    "default_acl": _text,
    "use_ssl": env.parse_flag,
    "verify": _verify,
    "use_threads": env.parse_flag,
    "querystring_auth": env.parse_flag,
    "querystring_expire": env.parse_number,
    "max_memory_size": env.parse_number,
}
