"""Which user names are allowed."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

# No other alphabets, whose letters can look like these, and no @, so that no name is another user's e-mail address.
# First and last names may have any letters.
HELP_TEXT = "At most 150 characters: letters without accents, digits, and . + - _"
check_letters = RegexValidator(r"\A[A-Za-z0-9.+_-]+\Z", f"This user name is not allowed. {HELP_TEXT}")
# The pages show Callus as the author of its own actions.
RESERVED = {"callus"}


def check_not_reserved(name: str) -> None:
    """Refuses names of Callus itself, also with dots and dashes.

    Raises:
        ValidationError
    """
    if "".join(letter for letter in name.lower() if letter.isalnum()) in RESERVED:
        raise ValidationError("This user name is reserved. Choose another one.")
