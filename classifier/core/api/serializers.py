from typing import Any

from rest_framework import serializers


class StrictCharField(serializers.CharField):
    """What a person or program writes. REST framework takes a number for its digits; here it is none."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """A whole number. REST framework takes digits in quotes, and 3.0; here they are none."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class NullableCharField(serializers.CharField):
    """The database keeps no text as "", the API says null."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return value or None


# For serializers with a field "class", which cannot be the name of an attribute. No docstring: the OpenAPI
# schema would show it.
class ClassFieldMixin:
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()  # type: ignore[misc]
        return {"class" if name == "class_" else name: field for name, field in fields.items()}
