from classifier.core.models import User
from classifier.core.templatetags.callus import register
from classifier.radiographs.models import Radiograph


@register.filter
def name_for(radiograph: Radiograph, user: User) -> str:
    return radiograph.name_for(user)
