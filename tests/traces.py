"""Everything that a portal keeps, as bytes, to look for what should not be there."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from django.db import connection
from PIL import Image


def of_database() -> Iterator[tuple[str, bytes]]:
    """Each value of each column of each table."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    content = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    yield from unpacked(f"{table}.{column}", content)


def of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield from unpacked(str(path.relative_to(folder)), path.read_bytes())


def unpacked(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The content itself, and what lies in it compressed: the members of a zip, the pixels of a picture."""
    yield name, content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from unpacked(f"{name}/{member}", archive.read(member))
    elif content.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        with Image.open(io.BytesIO(content)) as image:
            yield f"{name} (pixels)", image.tobytes()
            yield f"{name} (notes)", repr(image.info).encode()
