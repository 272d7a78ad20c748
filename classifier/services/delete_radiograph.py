from classifier.models import Radiograph
from classifier.removal import remove_radiographs


def delete_radiograph(*, radiograph: Radiograph) -> None:
    """Remove an X-ray for good, with its predictions, reviews and files."""
    remove_radiographs([radiograph])
