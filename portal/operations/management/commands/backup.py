from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.operations import backup


class Command(BaseCommand):
    help = "Write all rows and files to one zip with checksums, while the portal is running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            manifest = backup.write(options["file"])
        except OSError as error:
            raise CommandError(str(error)) from error
        for path in manifest.missing:
            self.stderr.write(f"No longer in the storage, so not in the backup: {path}")
        num_files = sum(name.startswith("files/") for name in manifest.sha256)
        self.stdout.write(
            f"{options['file']}: {sum(manifest.rows.values())} rows and {num_files} files saved."
        )
