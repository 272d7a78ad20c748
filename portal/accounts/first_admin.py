"""The link with which the first admin of an empty portal chooses a name and password."""

from django.contrib.auth import get_user_model
from django.core import signing
from django.db import transaction
from django.urls import reverse

SALT = "callus first admin"
VALID_SECONDS = 24 * 3600


def is_needed() -> bool:
    return not get_user_model().objects.filter(is_superuser=True).exists()


def make_link(base_url: str) -> str:
    return f"{base_url}{reverse('first_admin', args=[make_token()])}"


def make_token() -> str:
    return signing.dumps("first admin", salt=SALT)


def is_valid(token: str) -> bool:
    """Whether this token was made here lately and no admin exists yet: a link works once."""
    try:
        signing.loads(token, salt=SALT, max_age=VALID_SECONDS)
    except signing.BadSignature:
        return False
    return is_needed()


def create_first_admin(*, username: str, email: str, password: str) -> None:
    with transaction.atomic():
        get_user_model().objects.create_superuser(username=username, email=email, password=password)
