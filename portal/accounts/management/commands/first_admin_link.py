from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts import first_admin


class Command(BaseCommand):
    help = "Print the link with which the first admin chooses a username and password."

    def handle(self, *args: Any, **options: Any) -> None:
        if not first_admin.is_needed():
            raise CommandError("The portal already has an admin.")
        self.stdout.write(first_admin.make_link())
