from pathlib import PurePath
from uuid import UUID

from django.http import Http404, HttpResponseBase
from django.views.decorators.http import require_safe

from classifier.core.pictures import picture
from classifier.core.requests import UserRequest, signed_in
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import record_view


@signed_in
@require_safe
def image(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    record_view(user=request.user, radiograph=radiograph)
    name = f"{_stem(request, radiograph)}.png"
    return picture(request, radiograph.image.open, f"image-{radiograph.id}", name, "image/png")


@signed_in
@require_safe
def thumbnail(request: UserRequest, radiograph_id: UUID) -> HttpResponseBase:
    radiograph = _visible(request, radiograph_id)
    name = f"{_stem(request, radiograph)}-small.jpg"
    return picture(request, radiograph.thumbnail.open, f"thumbnail-{radiograph.id}", name, "image/jpeg")


def _visible(request: UserRequest, radiograph_id: UUID) -> Radiograph:
    radiograph = Radiograph.objects.get_visible(request.user, radiograph_id)
    if radiograph is None:
        raise Http404
    return radiograph


def _stem(request: UserRequest, radiograph: Radiograph) -> str:
    return PurePath(radiograph.name_for(request.user)).stem
