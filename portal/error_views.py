"""Views for malformed requests and server errors. The other error pages are plain templates."""

import sys

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.defaults import server_error as server_error_page

from classifier.core.api.errors import SERVER_ERROR, is_api, respond
from classifier.core.errors import CallusError
from classifier.core.requests import wants_json
from classifier.core.storage import expected_error
from portal.middleware import respond as unavailable


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answers a malformed request with 400, or 413 if it is too large. API clients receive JSON."""
    status, template, message = (
        400,
        "400.html",
        "The server could not read this request. Nothing was changed.",
    )
    if isinstance(exception, RequestDataTooBig):
        status, template = 413, "413.html"
        megabytes = settings.UPLOAD_MAX_BYTES // 1024**2
        message = f"The upload is too large. The limit is {megabytes} MB. Nothing was stored."
    elif isinstance(exception, TooManyFilesSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        message = f"Too many files. Upload at most {most} at a time. Nothing was stored."
    elif isinstance(exception, CallusError):
        message = str(exception)
    if is_api(request) or wants_json(request):
        return respond(status, message)
    return render(request, template, {"message": message}, status=status)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answers with 500, or with 503 or 507 if storage or database are the reason. API clients receive JSON."""
    # Middleware and error pages use the database too, outside of StorageErrorMiddleware.
    error = sys.exc_info()[1]
    expected = expected_error(error) if error else None
    if expected is not None:
        return unavailable(request, expected)
    if is_api(request) or wants_json(request):
        return respond(500, SERVER_ERROR)
    return server_error_page(request)
