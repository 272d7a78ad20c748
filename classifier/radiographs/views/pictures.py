import io
from pathlib import PurePath
from uuid import UUID

from django.http import Http404, HttpResponseBase
from django.views.decorators.http import require_safe

from classifier.core.pictures import picture
from classifier.core.requests import UserRequest, signed_in
from classifier.radiographs.models import Radiograph


@signed_in
@require_safe
def image(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    name = f"{_stem(request, radiograph)}.png"
    return picture(request, radiograph.image.open, f"image-{radiograph.id}", name, "image/png")


@signed_in
@require_safe
def thumbnail(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    name = f"{_stem(request, radiograph)}-small.jpg"
    return picture(request, radiograph.thumbnail.open, f"thumbnail-{radiograph.id}", name, "image/jpeg")


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
    radiograph = Radiograph.objects.get_visible(request.user, radiograph_id)
    if radiograph is None:
        raise Http404
    return radiograph


def _stem(request: UserRequest, radiograph: Radiograph) -> str:
    return PurePath(radiograph.name_for(request.user)).stem
