"""Requests that cannot be read, and errors of our own. The other error pages are plain templates."""

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.defaults import server_error as server_error_page

from classifier.core.api.errors import SERVER_ERROR, is_api, respond
from classifier.core.requests import wants_json


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400; 413 when it was refused for its size. Programs get the sentence as JSON."""
    status, template, sentence = 400, "400.html", "This request is malformed."
    if isinstance(exception, RequestDataTooBig):
        status, template = 413, "413.html"
        sentence = f"This is too large: up to {settings.UPLOAD_MAX_BYTES // 1024**2} MB can be sent at once."
    elif isinstance(exception, TooManyFilesSent):
        sentence = f"Up to {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files can be sent at once."
    if is_api(request) or wants_json(request):
        return respond(status, sentence)
    return render(request, template, {"sentence": sentence}, status=status)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_api(request) or wants_json(request):
        return respond(500, SERVER_ERROR)
    return server_error_page(request)
