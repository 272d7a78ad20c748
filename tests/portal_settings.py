"""The settings of a portal that tests start: those of its users, except that passwords are quick to check."""

from portal.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
