import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal import links
from portal.operations import processes


class Command(BaseCommand):
    help = "Run the web server for the pages and the API."
    # `manage.py prepare` and `manage.py up` check the system.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")

    def handle(self, *args: Any, **options: Any) -> None:
        bind = processes.check_bind(options["bind"])
        os.environ[links.BIND] = bind
        command = processes.web(bind)
        os.execvp(command[0], command)  # noqa: S606
