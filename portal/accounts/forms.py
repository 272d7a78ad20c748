"""Account forms."""

from typing import Any

from allauth.account.forms import LoginForm, SignupForm
from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from classifier.core.models import TAKEN, Site, User
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

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Creates the user, or answers with the page again if somebody else has taken the name since it was checked."""
        try:
            with transaction.atomic():
                return super().try_save(request)  # type: ignore[no-any-return]
        except IntegrityError:
            self.add_error("username", TAKEN)
            context = {"form": self, "login_url": reverse("account_login")}
            return None, render(request, "account/signup.html", context)


class FirstAdminForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """Creates the first admin."""

    class Meta:
        model = User
        fields = ["username", "email"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = first_password_help_text()


class PeopleForm(forms.Form):
    """Searches people."""

    q = forms.CharField(label="Name or email", required=False, max_length=150, widget=forms.SearchInput())


class PersonForm(forms.Form):
    """The roles and the site of one person."""

    roles = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"), required=False, widget=forms.CheckboxSelectMultiple
    )
    site = forms.ModelChoiceField(
        Site.objects.order_by("name"),
        required=False,
        empty_label="None",
        help_text="Reviewed X-rays of people at a site that allows it become training data.",
    )
