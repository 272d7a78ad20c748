"""Template filters for radiographs."""

from classifier.core.models import User
from classifier.core.templatetags.callus import register
from classifier.radiographs.models import Radiograph


@register.filter
def name_for(radiograph: Radiograph, user: User) -> str:
    """Returns the file name for the owner, and a neutral name for other users."""
    return radiograph.name_for(user)
