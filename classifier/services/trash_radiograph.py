from django.utils import timezone

from classifier.models import Radiograph


def trash_radiograph(*, radiograph: Radiograph) -> None:
    """Put an X-ray into its owner's trash, where nobody else sees it; after TRASH_DAYS it is removed for good."""
    Radiograph.objects.kept().filter(id=radiograph.id).update(deleted_at=timezone.now())


def restore_radiograph(*, radiograph: Radiograph) -> None:
    """Take it back out of the trash, with its answers and reviews."""
    Radiograph.objects.filter(id=radiograph.id).update(deleted_at=None)
