import os
from typing import Any

from django.core.management.base import BaseCommand

from portal.operations import processes


class Command(BaseCommand):
    help = "Run the scheduler, which sends the periodic tasks. Run only one."
    # `manage.py prepare` and `manage.py up` check the system.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ["CALLUS_ROLE"] = "beat"
        os.environ["CELERY_SKIP_CHECKS"] = "true"
        command = processes.beat()
        os.execvp(command[0], command)  # noqa: S606
