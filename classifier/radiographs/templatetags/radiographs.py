"""Template filters for radiographs."""

from classifier.core.models import User
from classifier.core.templatetags.callus import register
from classifier.radiographs.models import Radiograph

# What FracAtlas means by its body parts.
BODY_PARTS = {"hand": "hand, forearm or elbow", "leg": "leg or foot"}


@register.filter
def body_part_name(body_part: str) -> str:
    """'hand' -> 'hand, forearm or elbow'; other body parts are returned as they are."""
    return BODY_PARTS.get(body_part, body_part)


@register.filter
def name_for(radiograph: Radiograph, user: User) -> str:
    """Returns the file name for the owner, and a neutral name for other users."""
    return radiograph.name_for(user)
