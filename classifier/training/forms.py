"""The forms of training runs, the schedule and promotions."""

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
from ml.networks.recipes import DEFAULT_RECIPE, MIN_CALIBRATION_IMAGES, RECIPES

# For tests and for a comparison with the first published network, not for clinical data: offered on request.
OTHER_RECIPES = ("seed_cnn", "tiny")


def _recipes() -> list[tuple[str, Any]]:
    choices = [(recipe.name, f"{recipe.name}: {recipe.summary}") for recipe in RECIPES.values()]
    usual = [choice for choice in choices if choice[0] not in OTHER_RECIPES]
    return [*usual, ("Other recipes", [choice for choice in choices if choice[0] in OTHER_RECIPES])]


def _number(label: str, lowest: int, highest: int, **options: Any) -> forms.IntegerField:
    """A number whose limits the browser knows; the service checks them."""
    return forms.IntegerField(
        label=label, widget=forms.NumberInput({"min": lowest, "max": highest}), **options
    )


class TrainingForm(forms.Form):
    """Offers the parameters of a run; request_training checks them."""

    dataset_version = DatasetField(
        label="Data set",
        queryset=DatasetVersion.objects.exclude(state__in=("failed", "canceled"))
        .newest_first()
        .defer("report", "samples"),
        empty_label=None,
    )
    recipe = forms.ChoiceField(
        label="Recipe", choices=_recipes, widget=forms.RadioSelect, initial=DEFAULT_RECIPE
    )
    start = forms.ChoiceField(
        label="Starting point",
        choices=[(value, label[:1].upper() + label[1:]) for value, label in TrainingRun.Start.choices],
        initial=TrainingRun.Start.PRETRAINED,
        help_text=(
            "The pretrained network was trained on photographs, not on X-rays. The recipes efficient_top, top and "
            "probe start from it; the other recipes start from scratch. A run can start from a model version only "
            f"if that has the same network and at least {MIN_CALIBRATION_IMAGES} validation images are new to it: "
            "confidences calibrated on images that it was trained on would be wrong."
        ),
    )
    epochs = _number("Epochs", 1, MAX_EPOCHS, required=False, help_text="Leave empty for the recipe's own.")
    batch_size = _number(
        "Images in a batch", 1, MAX_BATCH_SIZE, required=False, help_text="Leave empty for the recipe's own."
    )
    seed = _number(
        "Seed", 0, MAX_SEED, initial=0, help_text="The same data, recipe and seed give the same model."
    )

    @property
    def usual_recipes(self) -> list[Any]:
        return [radio for radio in self["recipe"] if radio.data["value"] not in OTHER_RECIPES]

    @property
    def other_recipes(self) -> list[Any]:
        return [radio for radio in self["recipe"] if radio.data["value"] in OTHER_RECIPES]

    @property
    def has_other_recipe(self) -> bool:
        return any(radio.data["selected"] for radio in self.other_recipes)


class ScheduleForm(forms.Form):
    """Offers when to retrain; set_schedule checks it."""

    mode = forms.ChoiceField(
        label="Retrain",
        choices=[(value, label[:1].upper() + label[1:]) for value, label in RetrainingSchedule.Mode.choices],
        widget=forms.RadioSelect,
    )
    num_reviews = _number(
        "Number of new reviews", 1, MAX_REVIEWS, help_text="For “after a number of new reviews”."
    )
    recipe = forms.ChoiceField(label="Recipe", choices=_recipes, required=False)


class PromotionForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
        help_text="Shown with your name on the Promotions page.",
    )

    def __init__(self, *args: Any, is_reason_needed: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the browser asks for; whether it is needed is settled by the gate when it is sent.
        if is_reason_needed:
            self.fields["reason"].widget.attrs["required"] = True
