"""The one response with a picture, for pages and the API."""

import logging
from collections.abc import Callable
from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response

log = logging.getLogger(__name__)


def picture(
    request: HttpRequest, open_file: Callable[[], Any], version: str, name: str, content_type: str
) -> HttpResponseBase:
    """Returns the picture, or 304 when the browser has this version of it.

    A browser may keep it but must ask each time, so that nobody sees it after its owner signed out, or deleted it.

    Args:
        open_file: returns the open file; called only when it is sent.
        version: names the content; another content has another one.
        name: the file name under which a browser saves it.
        content_type: given explicitly, because Django would guess it from the name, which a person chose.

    Raises:
        Http404: the storage lacks the file.
    """
    etag = f'"{version}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    full = HttpResponse(headers=headers)
    conditional = get_conditional_response(request, etag=etag, response=full)
    if conditional is not None and conditional is not full:
        return conditional
    try:
        return FileResponse(open_file(), filename=name, headers=headers, content_type=content_type)
    except FileNotFoundError as error:
        log.exception("A picture is missing in the storage")
        raise Http404 from error
