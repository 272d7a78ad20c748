from django.db import transaction
from django.db.models import ProtectedError

from classifier.errors import NotAllowedNow
from classifier.models import AuditEntry, Radiograph, User
from classifier.removal import remove_radiographs


def delete_account(*, user: User) -> None:
    """Remove a person with all that is theirs, at once and for good.

    Gone: the account, tokens, sessions, second factors; their X-rays, those in the trash too, with files, answers and
    reviews. Kept: what they said of other people's X-rays, without their name; images of data set versions that were
    made before, since such a version never changes; and the audit log, which names who did what.

    Raises:
        NotAllowedNow: the portal would be without an admin, or its record of who promoted which model would break.
    """
    admins = User.objects.filter(is_superuser=True, is_active=True)
    if user.is_superuser and not admins.exclude(id=user.id).exists():
        raise NotAllowedNow("You are the only admin. Make somebody else an admin first.")
    try:
        with transaction.atomic():
            AuditEntry.objects.record(actor=user, action="deleted their account", about=user)
            remove_radiographs(Radiograph.objects.filter(owner=user))
            user.delete()
    except ProtectedError:
        raise NotAllowedNow(
            "You decided which model is live, and that stays on record. "
            "Please ask an admin to deactivate your account instead."
        ) from None
