"""Account forms."""

from typing import Any

from allauth.account.forms import LoginForm, SignupForm
from django.contrib.auth.forms import BaseUserCreationForm

from classifier.core.models import User
from portal.accounts.passwords import first_password_help_text


class SignInForm(LoginForm):  # type: ignore[misc]
    """The sign-in form of django-allauth with our labels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "Username or email"
        self.fields["login"].widget.attrs.update(autocomplete="username", autofocus=True)
        self.fields["remember"].label = "Stay signed in on this device"


class SignUpForm(SignupForm):  # type: ignore[misc]
    """The sign-up form of django-allauth with the rules for a first password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = first_password_help_text()


class FirstAdminForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """Creates the first admin."""

    class Meta:
        model = User
        fields = ["username", "email"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = first_password_help_text()
