from django.contrib.auth.models import AbstractUser
from django.db import models

from .site import Site


class User(AbstractUser):
    """A person who signs in. Our own class from the first migration, so that it can grow."""

    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL, related_name="users")
