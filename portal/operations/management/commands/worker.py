import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal.operations import processes


class Command(BaseCommand):
    help = "Run a worker: predict answers X-rays, train trains models."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=processes.WORKERS)
        parser.add_argument("--name", default="", help="needed when several of one role run on one host")

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ["CALLUS_ROLE"] = options["role"]
        command = processes.worker(options["role"], options["name"])
        os.execvp(command[0], command)  # noqa: S606
