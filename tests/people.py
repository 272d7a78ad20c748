"""Clients of people who are signed in: one for the pages, one for the API."""

from django.test import Client
from knox.models import AuthToken
from rest_framework.test import APIClient

from classifier.core.models import User


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def api_client(user: User) -> APIClient:
    _, token = AuthToken.objects.create(user=user)
    return APIClient(headers={"Authorization": f"Bearer {token}"})
