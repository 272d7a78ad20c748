from typing import Any

from knox.models import AuthToken


class RevokesTokens:
    """Not a check. Django tells its password validators of each change, whoever made it: the person, a link in a mail,
    an admin or a command. Sessions end by themselves, as each holds a hash of the password it began with.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Every password will do."""

    def get_help_text(self) -> str:
        return "When you change it, your other devices are signed out and your API tokens end."

    def password_changed(self, password: str, user: Any = None) -> None:
        AuthToken.objects.filter(user=user).delete()
