"""Account forms."""

from typing import Any

from allauth.account.forms import LoginForm
from django.contrib.auth.forms import BaseUserCreationForm

from classifier.core.models import User


class SignInForm(LoginForm):  # type: ignore[misc]
    """The sign-in form of django-allauth with our labels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "Username or email"
        self.fields["login"].widget.attrs["autocomplete"] = "username"
        self.fields["remember"].label = "Stay signed in on this device"


class FirstAdminForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """Creates the first admin."""

    class Meta:
        model = User
        fields = ["username", "email"]
