import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal.operations import processes


class Command(BaseCommand):
    help = "Run a worker for predictions (predict) or for training (train)."
    # `manage.py prepare` and `manage.py up` check the system.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=processes.WORKERS)
        parser.add_argument(
            "--name", default="", help="required when several workers of one role run on one host"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ["CALLUS_ROLE"] = options["role"]
        os.environ["CELERY_SKIP_CHECKS"] = "true"
        command = processes.worker(options["role"], options["name"])
        os.execvp(command[0], command)  # noqa: S606
