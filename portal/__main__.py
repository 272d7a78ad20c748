"""The command line of the portal: manage.py in a checkout, `callus` where Callus is installed."""

import importlib
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, OperationalError

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
    except DatabaseError as error:
        # Of a damaged SQLite file, Django raises the general error. Other errors are faults of Callus.
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError:
            raise
        sys.exit(_describe(error))


def _describe(error: DatabaseError) -> str:
    database = settings.DATABASES["default"]
    where = database["NAME"] if "sqlite3" in database["ENGINE"] else database["HOST"]
    restore = "docs/operation.md says how to restore a backup. " if type(error) is DatabaseError else ""
    return f"Callus cannot use its database ({where}): {str(error).strip()}. {restore}Nothing was changed."


if __name__ == "__main__":
    main()
