import json
from typing import Any

from django import forms

from classifier.radiographs.forms import finding_field
from classifier.radiographs.models import Prediction
from classifier.reviews.classes import reviewable_classes
from classifier.reviews.models import Review
from classifier.reviews.services import MAX_BOXES
from ml.classes import display_name

CONFIRMED = {
    Prediction.Finding.FRACTURE_SEEN.value: Review.Finding.FRACTURE.value,
    Prediction.Finding.NO_FRACTURE_SEEN.value: Review.Finding.NO_FRACTURE.value,
}


class BoxesField(forms.Field):
    """The list of boxes that boxes.js sends as JSON. A refused form shows the text as it was sent.

    Unlike Django's JSONField, it refuses numbers and nesting that json.loads cannot read, and never writes what it
    read back into the page, such as a lone surrogate.
    """

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        try:
            return json.loads(value) if value else []
        except (ValueError, RecursionError):
            raise forms.ValidationError(
                "The boxes could not be read, so the review was not saved. Draw them again."
            ) from None


class ReviewForm(forms.Form):
    """What a reviewer sees: the finding, and with a fracture optionally its kind and its place.

    The button "confirm" repeats the finding of the prediction. The cleaned data are the arguments of record_review.
    """

    finding = forms.ChoiceField(
        label="What do you see?",
        choices=[(value, label.capitalize()) for value, label in Review.Finding.choices],
        widget=forms.RadioSelect,
    )
    class_name = forms.ChoiceField(label="Kind of fracture (optional)", required=False)
    # Not restored by the browser after a reload: boxes.js would not show restored boxes.
    boxes = BoxesField(required=False, widget=forms.HiddenInput({"autocomplete": "off"}))
    comment = forms.CharField(
        label="Comment", required=False, max_length=2000, widget=forms.Textarea({"rows": 2})
    )

    max_boxes = MAX_BOXES

    def __init__(self, data: Any = None, *args: Any, prediction: Prediction, **kwargs: Any) -> None:
        if data is not None and "confirm" in data:
            data = {**data.dict(), "finding": CONFIRMED.get(prediction.finding, "")}
        super().__init__(data, *args, **kwargs)
        self.prediction = prediction
        self.can_confirm = prediction.finding in CONFIRMED and not self.is_bound
        kinds = [(name, display_name(name)) for name in reviewable_classes(prediction)]
        self.fields["class_name"].choices = [("", "Not named"), *kinds]  # type: ignore[attr-defined]


class WorklistForm(forms.Form):
    """Filters the worklist. An empty field matches all predictions."""

    finding = finding_field()
