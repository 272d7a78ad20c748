"""The link with which the first admin of a new portal chooses a username and password."""

from django.core import signing
from django.db import transaction
from django.urls import reverse

from classifier.core.models import User
from portal import links

SALT = "callus first admin"
VALID_SECONDS = 24 * 3600


def is_needed() -> bool:
    """Returns whether the portal has no admin yet."""
    return not User.objects.filter(is_superuser=True).exists()


def make_link() -> str:
    """Returns a link that is valid for VALID_SECONDS, until an admin exists."""
    return links.absolute(reverse("first_admin", args=[make_token()]))


def make_token() -> str:
    """Returns the signed token of such a link."""
    return signing.dumps("first admin", salt=SALT)


def is_valid(token: str) -> bool:
    """Returns whether the token is authentic and not expired, and no admin exists yet."""
    try:
        signing.loads(token, salt=SALT, max_age=VALID_SECONDS)
    except signing.BadSignature:
        return False
    return is_needed()


def create_first_admin(*, username: str, email: str, password: str) -> bool:
    """Creates the first admin. Returns False if there is an admin already."""
    with transaction.atomic():
        User.objects.lock_admins()
        if not is_needed():
            return False
        User.objects.create_superuser(username=username, email=email, password=password)
    return True
