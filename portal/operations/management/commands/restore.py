from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.operations import restore


class Command(BaseCommand):
    help = "Restore a backup into an empty database and an empty storage."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            manifest = restore.restore(options["file"])
        except (restore.RestoreRefused, OSError) as error:
            raise CommandError(str(error)) from error
        num_files = sum(name.startswith("files/") for name in manifest.sha256)
        self.stdout.write(
            f"Restored {sum(manifest.rows.values())} rows and {num_files} files from the backup of {manifest.made_at}."
        )
