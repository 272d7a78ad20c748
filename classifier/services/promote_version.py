from django.db import transaction

from classifier import gate
from classifier.errors import CallusError, NotAllowedNow
from classifier.models import AuditEntry, ModelVersion, Promotion, User


class PromotionRefused(CallusError):
    status = 409
    sentence = "This model cannot be promoted."


def promote_version(*, user: User, version: ModelVersion, reason: str = "") -> Promotion:
    """Make a version live: it answers what is uploaded from now on. What is under way keeps its version.

    Raises:
        PromotionRefused: something speaks against it, and no reason is written. Both are kept.
        NotAllowedNow: it is live already.
    """
    reason = reason.strip()
    with transaction.atomic():
        lock_promotions()
        live = ModelVersion.objects.live()
        if version == live:
            raise NotAllowedNow(f"{version} is live already.")
        judgement = gate.judge(version, live)
        if judgement.objection and not reason:
            raise PromotionRefused(
                f"{judgement.objection} To promote it all the same, write a reason; it is kept."
            )
        promotion = Promotion.objects.create(
            kind=Promotion.Kind.PROMOTE,
            model_version=version,
            promoted_by=user,
            comparison=judgement.comparison,
            objection=judgement.objection[:500],
            reason=reason,
        )
        AuditEntry.objects.record(
            actor=user,
            action="promoted",
            about=version,
            before=live.number if live else None,
            objection=judgement.objection,
            reason=reason,
        )
    return promotion


def lock_promotions() -> None:
    """Of two people who change the live model at once, the second sees what the first did."""
    Promotion.objects.select_for_update().order_by("id").first()
