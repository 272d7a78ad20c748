"""The search form of the history."""

from typing import Any

from django import forms

from classifier.radiographs.models import Prediction
from ml.classes import display_name


def finding_field() -> forms.ChoiceField:
    """Returns a field to filter by finding."""
    findings = [(value, label.capitalize()) for value, label in Prediction.Finding.choices]
    return forms.ChoiceField(label="Finding", required=False, choices=[("", "Any finding"), *findings])


class SearchForm(forms.Form):
    """Filters and orders the history. Empty fields match all radiographs."""

    name = forms.CharField(
        label="File name", required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    finding = finding_field()
    class_name = forms.ChoiceField(label="Kind", required=False)
    state = forms.ChoiceField(
        label="State",
        required=False,
        choices=[
            ("", "Any state"),
            *((value, label.capitalize()) for value, label in Prediction.State.choices),
        ],
    )

    order = forms.ChoiceField(
        label="Order by",
        required=False,
        choices=[("", "Upload time"), ("probability", "Probability")],
    )

    def __init__(self, *args: Any, class_names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "Any kind"), *((name, display_name(name)) for name in class_names)]
        self.fields["class_name"].choices = choices  # type: ignore[attr-defined]
