"""manage.py up: the web server, both workers and the scheduler as one supervised group of processes."""

import fcntl
import os
import socket
import sys
import time
import urllib.request
from typing import IO, Any
from urllib.error import URLError
from urllib.request import Request

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from portal import links
from portal.accounts import first_admin
from portal.operations import processes
from portal.operations.supervisor import Child, supervise

READY_TIMEOUT_SECONDS = 60


class Command(BaseCommand):
    help = "Run the whole portal: web server, prediction worker, training worker and scheduler."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")

    def handle(self, *args: Any, **options: Any) -> None:
        bind = processes.check_bind(options["bind"])
        os.environ[links.BIND] = bind
        lock = self.take_lock()
        check_free(bind)
        call_command("prepare")
        connections.close_all()
        manage = [sys.executable, "-m", "portal"]
        children = [
            Child("The web server", [*manage, "web", "--bind", bind]),
            Child("The prediction worker", [*manage, "worker", "predict"]),
            Child("The training worker", [*manage, "worker", "train"]),
            Child("The scheduler", [*manage, "beat"]),
        ]
        supervise(children, report=self.report, on_started=lambda: self.print_links(bind))
        lock.close()

    def take_lock(self) -> IO[str]:
        """Locks the data folder, so that no second set of processes can use it."""
        lock = (settings.DATA_DIR / "up.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Callus is already running with the data folder {settings.DATA_DIR}. Stop it first."
            ) from None
        return lock

    def print_links(self, bind: str) -> None:
        """Prints the address of the portal and, if there is no admin yet, the link to create one."""
        address = f"http://{bind}"
        # By a name that Callus accepts whatever its public address is. The address that it listens at may be 0.0.0.0.
        livez = Request(f"{address}/livez", headers={"Host": "localhost"})  # noqa: S310 - local address
        if not wait_for(livez):
            self.report("The web server does not respond yet. See its log messages above.")
            return
        self.report(f"Callus is ready: {settings.PUBLIC_URL or address}")
        if first_admin.is_needed():
            link = first_admin.make_link()
            connections.close_all()
            self.report(f"Open this link to create the first admin (it works once):\n{link}")

    def report(self, message: str) -> None:
        self.stdout.write(message)
        self.stdout.flush()


def check_free(bind: str) -> None:
    """Checks that the web server can listen at the address.

    Raises:
        CommandError: another program listens there, or this host has no such address.
    """
    host, _, port = bind.rpartition(":")
    try:
        with socket.create_server((host.strip("[]"), int(port)), family=_family(host), reuse_port=False):
            return
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise CommandError(
            f"Callus cannot listen at {bind}: {reason}. Stop the other program, or choose another address with --bind."
        ) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def wait_for(request: Request) -> bool:
    """Returns whether the request is answered within READY_TIMEOUT_SECONDS."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=2):  # noqa: S310 - local address
                return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False
