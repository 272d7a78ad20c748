"""The errors that are expected, each with its sentence for the person and its HTTP status."""


class CallusError(Exception):
    """Something a person can understand and often mend; `str(error)` is shown to them."""

    status = 400
    sentence = "That did not work."

    def __init__(self, sentence: str = "", *, field: str | None = None) -> None:
        """Args: field: the form field at fault, where there is one."""
        super().__init__(sentence or self.sentence)
        self.field = field


class UploadRefused(CallusError):
    sentence = "This file is not an X-ray image that Callus can read."


class UploadTooLarge(CallusError):
    status = 413
    sentence = "This file is too large."


class TooManyUploads(CallusError):
    status = 429
    sentence = "You have sent too many X-rays. Please go on later."


class QuotaFull(CallusError):
    status = 413
    sentence = "You keep as many X-rays as you may."


class StorageFull(CallusError):
    status = 507
    sentence = (
        "There is no space left on the server, so nothing was stored. Please tell the person who runs it."
    )


class NotAllowedNow(CallusError):
    """The object is not in a state in which this can be done."""

    status = 409
    sentence = "This cannot be done now."


class ModelUnavailable(CallusError):
    status = 503
    sentence = "No model is live yet. Please try again in a minute."
