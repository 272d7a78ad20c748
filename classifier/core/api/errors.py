"""Error responses of the API, all in one form: {"detail": "A sentence."}, with "fields" when fields are at fault."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler, set_rollback

from classifier.core.errors import CallusError, UploadTooLarge
from classifier.core.storage import expected_error

log = logging.getLogger(__name__)
MAX_ERRORS = 10
NOTHING_HERE = "There is nothing at this address that you may see."
BAD_REQUEST = "This request is malformed."
SERVER_ERROR = "Something went wrong on our side. The error was logged; please try again later."


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Returns the response to an expected error, or None: Django logs all others and answers 500."""
    expected = _as_callus_error(error)
    if expected:
        if expected.status >= 500:
            log.error("%s: %s", type(expected).__name__, error, exc_info=error)
        set_rollback()
        fields = {"fields": {expected.field: [str(expected)]}} if expected.field else {}
        detail = {"detail": str(expected), **fields}
        return Response(detail, status=expected.status, headers=expected.headers)
    if isinstance(error, Http404):
        error = exceptions.NotFound(NOTHING_HERE)
    response = exception_handler(error, context)
    if response and isinstance(error, exceptions.ValidationError):
        response.data = {"detail": " ".join(_first_sentences(error.detail))}
        if isinstance(error.detail, dict):
            response.data["fields"] = {name: _first_sentences(inner) for name, inner in error.detail.items()}
    return response


def respond(status: int, sentence: str) -> JsonResponse:
    """Returns an error in the form of the API, for errors that arise outside of REST framework."""
    return JsonResponse({"detail": sentence}, status=status)


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _as_callus_error(error: Exception) -> CallusError | None:
    if isinstance(error, CallusError):
        return error
    if isinstance(error, RequestDataTooBig):
        limit = settings.UPLOAD_MAX_BYTES // 1024**2
        return UploadTooLarge(f"This request is too large: a file may have up to {limit} MB.")
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return CallusError(BAD_REQUEST)
    return expected_error(error)


def _first_sentences(detail: Any) -> list[str]:
    """Lists the first MAX_ERRORS errors, because a long list that was sent has as many as entries."""
    first = list(islice(_sentences(detail), MAX_ERRORS + 1))
    return first if len(first) <= MAX_ERRORS else [*first[:MAX_ERRORS], "There are more errors."]


def _sentences(detail: Any, field: str = "") -> Iterator[str]:
    """Yields each error of a validation error, after the name of its field."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _sentences(inner, _path(field, name))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _sentences(inner, field)
    else:
        # A lone surrogate that was sent, and is quoted in the error, cannot be encoded in the response.
        text = str(detail).encode(errors="replace").decode()
        yield f"{field}: {text}" if field else text


def _path(field: str, name: Any) -> str:
    """Names the field at fault: `field`, or `field[2]` for the third entry of a list."""
    if name == api_settings.NON_FIELD_ERRORS_KEY:
        return field
    return f"{field}[{name}]" if isinstance(name, int) else str(name)
