import logging
from collections.abc import Callable
from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response

log = logging.getLogger(__name__)


def picture(
    request: HttpRequest, open_file: Callable[[], Any], version: str, name: str, content_type: str
) -> HttpResponseBase:
    """The picture, or 304 when the browser has this version.

    Its type is said outright: Django would guess it from the name, which the person chose.

    A browser may keep it but must ask each time, so that nobody sees it after its owner signed out.
    """
    etag = f'"{version}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    not_modified = get_conditional_response(request, etag=etag, response=HttpResponse(headers=headers))
    if not_modified is not None and not_modified.status_code == 304:
        return not_modified
    try:
        return FileResponse(open_file(), filename=name, headers=headers, content_type=content_type)
    except FileNotFoundError as error:
        log.exception("A picture is missing in the storage")
        raise Http404 from error
