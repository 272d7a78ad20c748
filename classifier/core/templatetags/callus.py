"""Template filters that format classes, probabilities and durations."""

import math
from datetime import timedelta

from django import template

from ml.classes import display_name

register = template.Library()


register.filter("sentence_case", display_name)


NBSP = "\N{NO-BREAK SPACE}"


@register.filter
def percent(share: float) -> str:
    """0.624 -> '62%'. Values below 1% and above 99% are shown as '<1%' and '>99%'."""
    if share < 0.01:
        return "<1%"
    if share > 0.99:
        return ">99%"
    return f"{share * 100:.0f}%"


@register.filter
def one_in(probability: float) -> str:
    """0.25 -> 'about 1 in 4', 0.7 -> 'about 7 in 10', 0.96 -> 'about 24 in 25'; follows the rounded percentage."""
    rounded = round(probability, 2)
    rarer = min(rounded, 1 - rounded)
    if not 0.01 <= probability <= 0.99:
        return "fewer than 1 in 100" if rounded < 0.5 else "more than 99 in 100"
    if rarer > 0.29:
        return f"about {math.floor(rounded * 10 + 0.5)} in 10"
    total = round(1 / rarer)
    return f"about {1 if rounded < 0.5 else total - 1} in {total}"


@register.filter
def bar_width(share: float) -> str:
    """0.624 -> '62.4%', an SVG length that does not depend on the language."""
    return f"{share * 100:.1f}%"


# What FracAtlas means by its body parts.
BODY_PARTS = {"hand": "hand, forearm or elbow", "leg": "leg or foot"}


@register.filter
def body_part_name(body_part: str) -> str:
    """'hand' -> 'hand, forearm or elbow'; other body parts are returned as they are."""
    return BODY_PARTS.get(body_part, body_part)


@register.filter
def duration(span: timedelta) -> str:
    """timedelta(seconds=75) -> '75 s', timedelta(minutes=100) -> '2 h'."""
    seconds = max(span.total_seconds(), 0)
    if seconds < 0.1:
        return f"{seconds:.2f}{NBSP}s"
    if seconds < 10:
        return f"{seconds:.1f}{NBSP}s"
    if seconds < 90:
        return f"{seconds:.0f}{NBSP}s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes}{NBSP}min"
    hours = round(minutes / 60)
    return f"{hours}{NBSP}h" if hours < 48 else f"{round(hours / 24)}{NBSP}days"
