"""The password validator that revokes API tokens, and the rules for a first password."""

from typing import Any

from django.contrib.auth.password_validation import (
    get_default_password_validators,
    password_validators_help_text_html,
)
from knox.models import AuthToken


class RevokesTokens:
    """Revokes a user's API tokens when their password changes. Accepts every password.

    Django notifies password validators of every change: by the user, a reset link, an admin or a command. Sessions end
    without further code, because each stores a hash of the password.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Accepts every password."""

    def get_help_text(self) -> str:
        """Returns the help text for password forms."""
        return "Changing your password signs out your other devices and revokes your API tokens."

    def password_changed(self, password: str, user: Any = None) -> None:
        """Deletes the user's API tokens."""
        AuthToken.objects.filter(user=user).delete()


def first_password_help_text() -> str:
    """Returns the rules for the password of a new account as an HTML list, without what a change of it does."""
    rules = [rule for rule in get_default_password_validators() if not isinstance(rule, RevokesTokens)]
    return str(password_validators_help_text_html(rules))
