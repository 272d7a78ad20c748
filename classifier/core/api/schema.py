"""What the OpenAPI schema says besides the serializers: errors and examples."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

ERRORS = {
    400: ("Refused, with the reason.", "The file is not a JPEG, PNG or DICOM image."),
    401: ("No valid token.", "This token is not valid, or not any more."),
    404: ("Not there, or not yours.", "There is nothing at this address that you may see."),
    409: ("Not in this state.", "Training run 3 is finished, or being stopped already."),
    413: ("Too large.", "This request is too large: a file may have up to 200 MB."),
    415: ("Not the kind of body that is asked for.", 'Unsupported media type "text/plain" in request.'),
    429: ("Too many, for now.", "Request was throttled. Expected available in 20 seconds."),
    503: ("Not ready.", "The database cannot be reached right now. Please try again in a minute."),
    507: ("No space left; nothing was stored.", "There is no space left to keep this file."),
}

ALWAYS = (401, 429, 503)
# What may be wrong with a body, besides what it says.
BODY = (400, 413, 415)


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="A sentence for the person.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="What is wrong with which field, when fields are at fault.",
    )


def refuse_null_characters(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Says of each text that may be sent that the character 0 is refused: no database keeps it.

    A hook of drf-spectacular: what serializers refuse anyway, it does not see.
    """
    bodies = (part for name, part in result["components"]["schemas"].items() if name.endswith("Request"))
    sent = [schema for body in bodies for schema in body["properties"].values()]
    operations = (operation for path in result["paths"].values() for operation in path.values())
    sent += [parameter["schema"] for each in operations for parameter in each.get("parameters", [])]
    for schema in sent:
        if schema.get("type") == "string" and not schema.keys() & {"format", "enum"}:
            schema["pattern"] = r"^[^\u0000]*$"
    return result


def errors(*statuses: int) -> dict[int, OpenApiResponse]:
    """The error responses of an operation: these, and those of all."""
    return {
        status: OpenApiResponse(
            ErrorSerializer,
            description=ERRORS[status][0],
            examples=[OpenApiExample("Error", {"detail": ERRORS[status][1]})],
        )
        for status in sorted({*statuses, *ALWAYS})
    }
