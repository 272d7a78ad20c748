"""Registers model versions."""

from django.db import transaction

from classifier.registry import bundles
from classifier.registry.models import ModelVersion, Promotion
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
            Promotion.objects.create(model_version=version, reason="Shipped with Callus")
    return version
