"""Template filters that format metrics, intervals and progress."""

from datetime import timedelta
from typing import Any

from django import template

from classifier.core.templatetags.callus import NBSP, duration

register = template.Library()
MINUS = "\N{MINUS SIGN}"
MISSING = "–"

METRIC_NAMES = {
    "macro_f1": "Macro F1",
    "macro_auroc": "Macro AUROC",
    "top_3_accuracy": "Top-3 accuracy",
    "negative_log_likelihood": "Negative log-likelihood",
    "calibration_error_before": "Calibration error before temperature scaling",
    "prediction_set_coverage": "Prediction sets that contain the true class",
    "prediction_set_size": "Classes per prediction set",
    "refused_as_out_of_distribution": "Rejected as not a bone X-ray",
}


@register.filter
def figure(estimate: dict[str, Any] | None, digits: int = 3) -> str:
    """{'value': 0.31, 'low': 0.24, 'high': 0.39} -> '0.310 (0.240 to 0.390)'; a dash if the value is undefined."""
    if not estimate or estimate.get("value") is None:
        return MISSING
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


@register.filter
def difference(estimate: dict[str, Any] | None, digits: int = 3) -> str:
    """Formats a difference and its interval with signs."""
    if not estimate or estimate.get("value") is None:
        return MISSING
    numbers = [estimate[name] for name in ("value", "low", "high")]
    value, *interval = [MISSING if number is None else signed(number, digits) for number in numbers]
    return f"{value} ({interval[0]} to {interval[1]})"


@register.filter
def signed(number: float, digits: int = 3) -> str:
    """-0.05 -> '−0.050', 0.02 -> '+0.020'."""
    text = f"{number:+.{digits}f}"
    return text.replace("-", MINUS)


@register.filter
def decimal(number: float | None, digits: int = 3) -> str:
    """0.31 -> '0.310'; a dash if the value is undefined."""
    return MISSING if number is None else f"{number:.{digits}f}"


@register.filter
def p_value(number: float) -> str:
    """0.267 -> '= 0.267'. Values below 0.001 are shown as '< 0.001'."""
    return f"<{NBSP}0.001" if number < 0.001 else f"={NBSP}{number:.3f}"


@register.filter
def seconds(number: float) -> str:
    """Formats a number of seconds as a duration."""
    return duration(timedelta(seconds=number))


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    """Returns the value of a key, or None."""
    return mapping.get(key)


@register.filter
def in_words(name: str) -> str:
    """'negative_log_likelihood' -> 'Negative log likelihood'."""
    if name in METRIC_NAMES:
        return METRIC_NAMES[name]
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


@register.filter
def file_name(path: str) -> str:
    """Returns the last part of a path."""
    return path.rpartition("/")[2]
