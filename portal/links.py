"""Absolute links to the portal, built from its public address and never from the Host header of a request."""

import os
from urllib.parse import urlsplit

from django.conf import settings

# Set by `manage.py up` and `manage.py web`: the address of a portal without PUBLIC_URL.
BIND = "CALLUS_BIND"


def absolute(path: str) -> str:
    """Returns the link to a path of reverse(), which starts with the path of PUBLIC_URL."""
    return f"{settings.PUBLIC_ORIGIN or 'http://' + os.environ.get(BIND, '127.0.0.1:8000')}{path}"


def with_public_origin(url: str) -> str:
    """Returns the URL with the scheme and host of the public address."""
    return absolute(urlsplit(url)._replace(scheme="", netloc="").geturl())
