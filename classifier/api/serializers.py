from typing import Any

from rest_framework import serializers

from classifier.models import Prediction, Radiograph


class Text(serializers.CharField):
    """What a person or program writes. REST framework takes a number for its digits; here it is none."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A whole number. REST framework takes digits in quotes, and 3.0; here they are none."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class TextOrNull(serializers.CharField):
    """The database keeps no text as "", the API says null."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return value or None


# For serializers with a field "class", which cannot be the name of an attribute. No docstring: the OpenAPI
# schema would show it.
class NamesClass:
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()  # type: ignore[misc]
        return {"class" if name == "class_" else name: field for name, field in fields.items()}


class CredentialsSerializer(serializers.Serializer[Any]):
    # A name may be pasted with a space, and a space is no name: neither is told apart from a wrong one.
    username = Text(max_length=254, trim_whitespace=False)
    password = Text(max_length=4096, trim_whitespace=False)


class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()


class UploadSerializer(serializers.Serializer[Any]):
    # An empty file gets its sentence where all files do: in ml.images.
    file = serializers.FileField(allow_empty_file=True, help_text="A JPEG, PNG or DICOM file.")


class RadiographFilterSerializer(NamesClass, serializers.Serializer[Any]):
    name = Text(required=False, allow_blank=True, help_text="A part of the file name.")
    class_ = Text(
        source="class_name", required=False, allow_blank=True, help_text="The predicted class, in full."
    )
    state = serializers.ChoiceField(Prediction.State.choices, required=False, allow_blank=True)


class PredictionStateSerializer(serializers.ModelSerializer[Prediction]):
    class Meta:
        model = Prediction
        fields = read_only_fields = ["id", "state"]


class RadiographSerializer(serializers.ModelSerializer[Radiograph]):
    name = serializers.SerializerMethodField(
        help_text="The file name, for whoever sent it; for others its number."
    )
    sha256 = serializers.CharField(help_text="Of the file as it was sent.")
    prediction = PredictionStateSerializer(help_text="The newest one.")

    class Meta:
        model = Radiograph
        fields = read_only_fields = ["id", "name", "sha256", "width", "height", "created_at", "prediction"]

    def get_name(self, radiograph: Radiograph) -> str:
        return radiograph.name_for(self.context["request"].user)


class ProbabilitySerializer(NamesClass, serializers.Serializer[Any]):
    class_ = serializers.CharField()
    probability = serializers.FloatField(min_value=0, max_value=1)


class PredictionSerializer(NamesClass, serializers.ModelSerializer[Prediction]):
    radiograph = serializers.UUIDField(source="radiograph_id")
    class_ = TextOrNull(
        source="class_name",
        help_text="The most probable class; null until succeeded, and when the image is no bone X-ray.",
    )
    confidence = serializers.FloatField(
        allow_null=True, help_text="The calibrated probability of the most probable class."
    )
    probabilities = ProbabilitySerializer(many=True, help_text="Highest first; empty until succeeded.")
    abstained = serializers.BooleanField(
        allow_null=True, help_text="Too unsure to name a class: treat `class` as one of several."
    )
    in_distribution = serializers.BooleanField(
        allow_null=True, help_text="False when the image is not like the X-rays that the model knows."
    )
    model_version = serializers.IntegerField(source="model_version.number")
    error = TextOrNull(help_text="Why it failed, in a sentence; null unless failed.")

    class Meta:
        model = Prediction
        fields = read_only_fields = [
            "id", "radiograph", "state", "class_", "confidence", "probabilities", "abstained",
            "in_distribution", "model_version", "created_at", "finished_at", "error",
        ]  # fmt: skip
