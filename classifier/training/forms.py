from typing import Any

from django import forms

from classifier.datasets.forms import DatasetField
from classifier.datasets.models import DatasetVersion
from classifier.training.models import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_REVIEWS,
    MAX_SEED,
    RetrainingSchedule,
    TrainingRun,
)
from ml.networks.recipes import MIN_CALIBRATION_IMAGES, RECIPES


def _recipes() -> list[tuple[str, str]]:
    return [(recipe.name, f"{recipe.name}: {recipe.summary}") for recipe in RECIPES.values()]


class TrainingForm(forms.Form):
    dataset_version = DatasetField(
        label="Data set",
        queryset=DatasetVersion.objects.exclude(state__in=("failed", "canceled"))
        .newest_first()
        .defer("report", "samples"),
        empty_label=None,
    )
    recipe = forms.ChoiceField(
        label="Recipe", choices=_recipes, widget=forms.RadioSelect, initial="efficient_top"
    )
    start = forms.ChoiceField(
        label="Starting point",
        choices=[(value, label[:1].upper() + label[1:]) for value, label in TrainingRun.Start.choices],
        help_text=(
            "The pretrained network has seen no X-ray; efficient_top, top and probe start from it, the others from "
            f"nothing. To go on from a model, it must be the same network, and "
            f"{MIN_CALIBRATION_IMAGES} or more validation "
            "images must be new to it: from those that it learned from, nobody can tell how sure it may be."
        ),
    )
    epochs = forms.IntegerField(
        label="Epochs",
        required=False,
        min_value=1,
        max_value=MAX_EPOCHS,
        help_text="Empty: as the recipe says.",
    )
    batch_size = forms.IntegerField(
        label="Images in a batch",
        required=False,
        min_value=1,
        max_value=MAX_BATCH_SIZE,
        help_text="Empty: as the recipe says.",
    )
    seed = forms.IntegerField(
        label="Seed",
        min_value=0,
        max_value=MAX_SEED,
        initial=0,
        help_text="The same data, recipe and seed give the same model.",
    )


class ScheduleForm(forms.Form):
    mode = forms.ChoiceField(
        label="Retrain",
        choices=[(value, label[:1].upper() + label[1:]) for value, label in RetrainingSchedule.Mode.choices],
        widget=forms.RadioSelect,
    )
    num_reviews = forms.IntegerField(
        label="Number of new reviews",
        min_value=1,
        max_value=MAX_REVIEWS,
        help_text="For “after a number of new reviews”.",
    )
    recipe = forms.ChoiceField(label="Recipe", choices=_recipes, required=False)


class PromotionForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
        help_text="It is kept, with your name, on the page of promotions.",
    )

    def __init__(self, *args: Any, is_reason_needed: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the browser asks for; whether it is needed is settled by the gate when it is sent.
        if is_reason_needed:
            self.fields["reason"].widget.attrs["required"] = True
