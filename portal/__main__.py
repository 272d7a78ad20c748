"""The command line of the portal: manage.py in a checkout, `callus` where Callus is installed."""

import importlib
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from ml import __version__

# These commands become gunicorn or celery, which load Django themselves. To load it before that as well would double
# the time of a start.
BECOME_ANOTHER_PROGRAM = ("web", "worker", "beat")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if sys.argv[1:] == ["--version"]:
        # Django would print its own version.
        sys.stdout.write(f"Callus {__version__}\n")
        return
    try:
        name = sys.argv[1] if sys.argv[1:] else ""
        if name in BECOME_ANOTHER_PROGRAM:
            # Reads the settings now, so that a wrong one is one sentence here and not a traceback in that program.
            settings.DATA_DIR  # noqa: B018
            module = importlib.import_module(f"portal.operations.management.commands.{name}")
            module.Command().run_from_argv(sys.argv)
        else:
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Callus does not start: {error}")


if __name__ == "__main__":
    main()
