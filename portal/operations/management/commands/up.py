import fcntl
import sys
import time
import urllib.request
from typing import IO, Any
from urllib.error import URLError

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from portal.accounts import first_admin
from portal.operations import processes
from portal.operations.supervisor import Child, supervise

READY_WITHIN_SECONDS = 60


class Command(BaseCommand):
    help = "Run the whole portal: web server, prediction worker, training worker and beat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")

    def handle(self, *args: Any, **options: Any) -> None:
        bind = processes.check_bind(options["bind"])
        lock = self.take_lock()
        call_command("prepare")
        connections.close_all()
        manage = [sys.executable, "-m", "portal"]
        children = [
            Child("The web server", [*manage, "web", "--bind", bind]),
            Child("The prediction worker", [*manage, "worker", "predict"]),
            Child("The training worker", [*manage, "worker", "train"]),
            Child("The scheduler", [*manage, "beat"]),
        ]
        supervise(children, say=self.say, when_started=lambda: self.greet(bind))
        lock.close()

    def take_lock(self) -> IO[str]:
        """Two sets of processes on one data folder would fight over it."""
        lock = (settings.DATA_DIR / "up.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"Callus is already running on {settings.DATA_DIR}.") from None
        return lock

    def greet(self, bind: str) -> None:
        address = f"http://{bind}"
        if not answers(f"{address}/livez"):
            self.say("The web server does not answer yet; its messages say why.")
            return
        self.say(f"Callus is ready: {settings.PUBLIC_URL or address}")
        if first_admin.is_needed():
            link = first_admin.make_link(settings.PUBLIC_URL or address)
            connections.close_all()
            self.say(f"Create the first admin with this link, which works once:\n{link}")

    def say(self, message: str) -> None:
        self.stdout.write(message)
        self.stdout.flush()


def answers(url: str) -> bool:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False
