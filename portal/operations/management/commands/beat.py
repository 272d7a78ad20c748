import os
from typing import Any

from django.core.management.base import BaseCommand

from portal.operations import processes


class Command(BaseCommand):
    help = "Run the scheduler, which sends the periodic tasks. Run only one."

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ["CALLUS_ROLE"] = "beat"
        command = processes.beat()
        os.execvp(command[0], command)  # noqa: S606
