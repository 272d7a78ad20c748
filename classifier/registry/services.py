"""Registers model versions and makes them live."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from classifier.core.models import AuditEntry, Notification
from classifier.core.notifications import notify
from classifier.registry import bundles
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from ml.serve.bundle import SHIPPED, open_bundle


def register_shipped_model() -> ModelVersion:
    """Registers the model that this release ships, and makes it live unless a person has promoted another one.

    Idempotent, so that it can run at each start.
    """
    bundle = open_bundle(SHIPPED)
    known = ModelVersion.objects.filter(checksum=bundle.checksum).first()
    if known:
        return known
    archive = bundles.store(bundle)
    with transaction.atomic():
        live = ModelVersion.objects.live()
        newest = ModelVersion.objects.order_by("-number").first()
        version = ModelVersion.objects.create(
            number=newest.number + 1 if newest else 1,
            checksum=bundle.checksum,
            archive=archive,
            card=bundle.full_card,
            source=ModelVersion.Source.SHIPPED,
        )
        if live is None or live.source == ModelVersion.Source.SHIPPED:
            make_live(version, reason="Shipped with Callus")
    return version


def make_live(version: ModelVersion, **fields: Any) -> Promotion:
    """Makes a version live and returns the promotion. Requests to replace the earlier live version lapse.

    Args:
        fields: of the promotion.
    """
    promotion = Promotion.objects.create(model_version=version, **fields)
    for request in PromotionRequest.objects.waiting().select_related("model_version", "requested_by"):
        lapse(request, f"{version} has become live in the meantime.")
    return promotion


def lapse(request: PromotionRequest, why: str) -> None:
    """Ends a waiting request that can no longer be confirmed, and notifies the person who asked."""
    request.state, request.lapsed_because = PromotionRequest.State.LAPSED, why
    request.decided_at = timezone.now()
    request.save(update_fields=["state", "lapsed_because", "decided_at"])
    AuditEntry.objects.record(actor=None, action="promotion request lapsed", about=request, reason=why)
    text = f"The request to promote {request.model_version} lapsed. {why}"
    notify(request.requested_by, text, Notification.Subject.PROMOTION_REQUEST, request.pk)
