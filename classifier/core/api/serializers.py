"""Strict serializer fields, and what else serializers share."""

import math
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers


class StrictCharField(serializers.CharField):
    """A string. REST framework's CharField also accepts a number and takes its digits; this field refuses it."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """An integer. REST framework's IntegerField also accepts "3" and 3.0; this field refuses them."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictFloatField(serializers.FloatField):
    """A finite number. REST framework's FloatField also accepts "3" and true; this field refuses them."""

    def to_internal_value(self, data: Any) -> float:
        if type(data) not in (int, float):
            self.fail("invalid")
        try:
            number = float(data)
        except OverflowError:  # an integer of more than 308 digits
            self.fail("invalid")
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class CappedListField(serializers.ListField):
    """A list. REST framework's ListField validates all entries before it refuses a list that is too long."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list):
            self.run_validators(data)
        return super().to_internal_value(data)


class NullableCharField(serializers.CharField):
    """A string that is null in the API when it is empty in the database."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return value or None


class NullableChoiceField(serializers.ChoiceField):
    """A choice that is null in the API when it is empty in the database."""

    def __init__(self, choices: Any, **options: Any) -> None:
        super().__init__(choices, allow_null=True, **options)

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return value or None


# Renames the field `class_` to "class", which cannot be the name of a Python attribute. A comment instead of a
# docstring, because the OpenAPI schema would show a docstring.
class ClassFieldMixin:
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()  # type: ignore[misc]
        return {"class" if name == "class_" else name: field for name, field in fields.items()}


# Refuses a field that it does not know: a misspelled optional field would otherwise be lost. The base class of what
# is sent as JSON; browsers and programs add fields of their own to multipart forms. A comment, as above.
class StrictSerializer(serializers.Serializer[Any]):
    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown = [name for name in data if name not in self.fields] if isinstance(data, Mapping) else []
        if unknown:
            # The name may be long, or hold a lone surrogate, which cannot be encoded in the response.
            name = unknown[0][:100].encode(errors="replace").decode()
            raise serializers.ValidationError({name: ["This field is not known."]})
        return super().to_internal_value(data)  # type: ignore[no-any-return]


def validate(serializer_class: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """Returns what was sent, as the serializer reads it.

    Raises:
        rest_framework.exceptions.ValidationError: names the fields at fault.
    """
    serializer = serializer_class(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
