"""Parts of the OpenAPI schema that do not come from serializers: error responses and examples."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

ERRORS = {
    400: (
        "The request was refused; `detail` gives the reason.",
        "The file is not a JPEG, PNG or DICOM image.",
    ),
    401: ("There is no valid token.", "This token is not valid or has expired."),
    404: ("It does not exist, or you may not see it.", "There is nothing at this address that you may see."),
    409: (
        "It cannot be done in the present state.",
        "Training run 3 has finished or is already being canceled.",
    ),
    413: ("The request is too large.", "This request is too large: a file may have up to 200 MB."),
    415: (
        "The body has a media type that is not accepted here.",
        'Unsupported media type "text/plain" in request.',
    ),
    429: ("Too many requests; try again later.", "Request was throttled. Expected available in 20 seconds."),
    503: (
        "The portal is not ready; try again later.",
        "The database cannot be reached right now. Please try again in a minute.",
    ),
    507: ("There is no space left; nothing was stored.", "There is no space left to keep this file."),
}

# Errors of every operation: each refuses unknown query parameters.
ALWAYS = (400, 401, 429, 503)
# Errors of every operation that reads a body.
BODY = (413, 415)


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="A sentence that can be shown to a person.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="What is wrong with which field, when fields are at fault.",
    )


def refuse_null_characters(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds to each string that can be sent that the null character is refused; PostgreSQL cannot store it.

    A postprocessing hook of drf-spectacular, which does not see this rule of the serializers.
    """
    bodies = (schema for name, schema in result["components"]["schemas"].items() if name.endswith("Request"))
    sent = [schema for body in bodies for schema in body["properties"].values()]
    operations = (operation for path in result["paths"].values() for operation in path.values())
    sent += [parameter["schema"] for each in operations for parameter in each.get("parameters", [])]
    for schema in sent:
        if schema.get("type") == "string" and not schema.keys() & {"format", "enum"}:
            schema["pattern"] = r"^[^\u0000]*$"
    return result


def refuse_unknown_fields(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds to what is sent as JSON that fields beyond its own are refused.

    A postprocessing hook of drf-spectacular, which does not see this rule of `StrictSerializer`.
    """
    operations = (operation for path in result["paths"].values() for operation in path.values())
    contents = [operation.get("requestBody", {}).get("content", {}) for operation in operations]
    forms = {
        str(content["multipart/form-data"]["schema"])
        for content in contents
        if "multipart/form-data" in content
    }
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Request") and str({"$ref": f"#/components/schemas/{name}"}) not in forms:
            schema["additionalProperties"] = False
    return result


def errors(*statuses: int) -> dict[int, OpenApiResponse]:
    """Returns the error responses of an operation: these statuses, and those of every operation."""
    return {
        status: OpenApiResponse(
            ErrorSerializer,
            description=ERRORS[status][0],
            examples=[OpenApiExample("Error", {"detail": ERRORS[status][1]})],
        )
        for status in sorted({*statuses, *ALWAYS})
    }
