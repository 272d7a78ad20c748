from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from classifier.registry.services import register_shipped_model
from portal.accounts.services import create_default_groups


class Command(BaseCommand):
    help = "Migrate the database and register the shipped model. Can be run at each start."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        create_default_groups()
        register_shipped_model()
