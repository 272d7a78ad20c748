"""The password validator that revokes API tokens."""

from typing import Any

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
