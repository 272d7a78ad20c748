from django.db import transaction

from classifier.errors import NotAllowedNow
from classifier.models import AuditEntry, ModelVersion, Promotion, User
from classifier.services.promote_version import lock_promotions


def roll_back(*, user: User, reason: str = "") -> Promotion:
    """Make the version live again that was live before. It was judged when it was promoted, so no gate asks.

    Raises:
        NotAllowedNow: no other version was live before.
    """
    with transaction.atomic():
        lock_promotions()
        live, before = ModelVersion.objects.live(), Promotion.objects.before_live()
        if live is None or before is None:
            raise NotAllowedNow("No other model was live before this one.")
        promotion = Promotion.objects.create(
            kind=Promotion.Kind.ROLL_BACK, model_version=before, promoted_by=user, reason=reason.strip()
        )
        AuditEntry.objects.record(
            actor=user, action="rolled back", about=before, before=live.number, reason=reason.strip()
        )
    return promotion
