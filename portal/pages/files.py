"""The pictures of a radiograph, for those who may see it."""

import io
import logging
from collections.abc import Callable
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from classifier.models import Radiograph
from portal.pages.access import UserRequest, signed_in

log = logging.getLogger(__name__)


@signed_in
@require_safe
def image(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    return picture(
        request,
        lambda: radiograph.image.open(),
        f"image-{radiograph.id}",
        f"{_stem(request, radiograph)}.png",
        "image/png",
    )


@signed_in
@require_safe
def thumbnail(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    return picture(
        request,
        lambda: radiograph.thumbnail.open(),
        f"thumbnail-{radiograph.id}",
        f"{_stem(request, radiograph)}-small.jpg",
        "image/jpeg",
    )


@signed_in
@require_safe
def saliency(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    prediction = radiograph.predictions.filter(saliency__isnull=False).newest_first().first()
    if prediction is None:
        raise Http404
    return picture(
        request,
        lambda: io.BytesIO(prediction.saliency or b""),
        f"saliency-{prediction.id}-{prediction.attempts}",
        f"{_stem(request, radiograph)}-saliency.png",
        "image/png",
    )


def _visible(request: UserRequest, radiograph_id: UUID) -> Radiograph:
    radiograph = Radiograph.objects.one_for(request.user, radiograph_id)
    if radiograph is None:
        raise Http404
    return radiograph


def _stem(request: UserRequest, radiograph: Radiograph) -> str:
    return PurePath(radiograph.name_for(request.user)).stem


def picture(
    request: UserRequest, open_file: Callable[[], Any], version: str, name: str, content_type: str
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
