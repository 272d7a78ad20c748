"""The django-allauth adapter."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closes sign-up unless SIGN_UP is open."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Returns whether people can create their own accounts."""
        return settings.SIGN_UP == "open"
