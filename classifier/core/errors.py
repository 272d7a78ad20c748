"""Expected errors, each with a message for the user and an HTTP status."""

from django.core.exceptions import BadRequest


class CallusError(Exception):
    """An error that the user can understand and often resolve. `str(error)` is shown to them."""

    status = 400
    message = "The request could not be completed."

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        """Args: field: the form field at fault, where there is one."""
        super().__init__(message or self.message)
        self.field = field


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


class QuotaFull(CallusError):
    """The user has reached the limit of stored X-rays."""

    status = 413
    message = "You have reached the limit of stored X-rays. Delete some, then try again."


class StorageFull(CallusError):
    """The disk or the database has no space left."""

    status = 507
    message = "The server has no space left, so nothing was stored. Tell the admin of this portal."


class NotAllowedNow(CallusError):
    """The current state of the object does not allow this action."""

    status = 409
    message = "This action is not possible now."


class ModelUnavailable(CallusError):
    """No model version is live."""

    status = 503
    message = "No model is live yet. Try again in a minute."
