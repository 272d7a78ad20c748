"""The command line of the portal: manage.py in a checkout, `callus` where Callus is installed."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from ml import __version__


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if sys.argv[1:] == ["--version"]:
        # Django would print its own version.
        sys.stdout.write(f"Callus {__version__}\n")
        return
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Callus does not start: {error}")


if __name__ == "__main__":
    main()
