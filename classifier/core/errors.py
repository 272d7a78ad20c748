"""Expected errors, each with a message for the user and an HTTP status."""

import math

from django.core.exceptions import BadRequest


class CallusError(Exception):
    """An error that the user can understand and often resolve. `str(error)` is shown to them."""

    status = 400
    message = "The request could not be completed."

    def __init__(
        self, message: str = "", *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        """Stores what the answer needs.

        Args:
            field: the form field at fault, where there is one.
            retry_after: seconds after which the same request may succeed, where this is known.
        """
        super().__init__(message or self.message)
        self.field = field
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Returns the headers of the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


class UploadRefused(CallusError):
    """The file cannot be used."""

    message = "Callus cannot read this file as an X-ray image. It was not stored."


class QueryRefused(CallusError, BadRequest):
    """The query of the address has an unknown parameter."""

    message = "The address has a query parameter that this page does not know."


class UploadTooLarge(CallusError):
    """The file exceeds the size limit."""

    status = 413
    message = "This file is too large. It was not stored."


class TooManyUploads(CallusError):
    """The user has reached the limit of uploads a day."""

    status = 429
    message = "You have reached the limit of uploads a day. Try again tomorrow."


class TooManyRequests(CallusError):
    """The user sends more requests a minute than allowed."""

    status = 429
    message = "You are sending too many requests. Wait a minute, then try again."


class QuotaFull(CallusError):
    """The user has reached the limit of stored X-rays."""

    status = 413
    message = "You have reached the limit of stored X-rays. Delete some, then try again."


class StorageFull(CallusError):
    """The disk or the database has no space left."""

    status = 507
    message = "The server has no space left, so nothing was stored. Tell the admin of this portal."


class StorageAway(CallusError):
    """The files cannot be read or written."""

    status = 503
    message = "The file storage cannot be reached right now, so nothing was stored. Try again in a minute."


class DatabaseUnavailable(CallusError):
    """The database cannot be reached, or is damaged."""

    status = 503
    message = "The database cannot be reached right now. Please try again in a minute."


class NotAllowedNow(CallusError):
    """The current state of the object does not allow this action."""

    status = 409
    message = "This action is not possible now."


class ModelUnavailable(CallusError):
    """No model version is live."""

    status = 503
    message = "No model is live yet. Try again in a minute."
