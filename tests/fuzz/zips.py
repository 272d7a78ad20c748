"""Zips of class folders: unpacked into their folder and nowhere else, or one sentence."""

from __future__ import annotations

import io
import resource
import stat
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from classifier.datasets.zip_checks import ZipRefused
from classifier.datasets.zip_intake import read_contents, unpack
from tests.data_sets import zip_of
from tests.fuzz.campaign import Campaign
from tests.fuzz.mutations import BLIND, ODD_LONGS, ODD_NUMBERS
from tests.fuzz.watch import is_error_text

MAX_ADDRESS_BYTES = 512 * 1024**2
# What may lie in the folder at the end: the largest of these zips unpacked, and what mutations add.
MOST_UNPACKED = 64 * 1024**2
IMAGE = bytes(range(256)) * 8
NAMES = (
    *("../x.png", "/etc/x.png", "C:x.png", "A\\x.png", "A/../../x.png", "A/x\0.png", "A/\u202ex.png"),
    *(
        "A/x.png",
        "a/x.png",
        "A/X.PNG",
        "\uff21/x.png",
        "A/Train/x.png",
        "Train/A/x.png",
        "A/" * 600 + "x.png",
    ),
    *("A/" + "x" * 300 + ".png", "A//x.png", "./A/x.png", "A/./x.png", " /x.png", "~/x.png", "A/x.png/y.png"),
)
ENTRY_IN_CONTENTS, ENTRY_HEAD, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
MARKS = (ENTRY_IN_CONTENTS, ENTRY_HEAD, END, b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08")


def files() -> dict[str, bytes]:
    plain = {f"set/{name}/Train/{number}.png": IMAGE for name in "AB" for number in range(3)}
    return {
        "plain": zip_of(plain),
        "deflated": _zip(plain, zipfile.ZIP_DEFLATED),
        "zip64": _zip(plain, zip64=True),
        "streamed": _zip(plain, streamed=True),
        "commented": _zip(plain, comment=b"PK\x05\x06 " * 50),
        "nested": zip_of({"A/1.png": zip_of(plain), "A/2.zip": zip_of(plain)}),
        "with folders": zip_of({"A/": b"", "A/1.png": IMAGE, "B/": b"", "B/2.jpg": IMAGE, "read.me": b"x"}),
        "dense": _zip({f"A/{number}.png": bytes(2 * 1024**2) for number in range(3)}, zipfile.ZIP_DEFLATED),
    }


def _zip(
    entries: dict[str, bytes],
    method: int = zipfile.ZIP_STORED,
    *,
    zip64: bool = False,
    streamed: bool = False,
    comment: bytes = b"",
) -> bytes:
    class Streamed(io.BytesIO):
        def seekable(self) -> bool:
            return not streamed

    content = Streamed()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in entries.items():
            with archive.open(name, "w", force_zip64=zip64) as entry:
                entry.write(data)
        archive.comment = comment
    return content.getvalue()


def mutate(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(random.choice((1, 1, 2, 4))):
        way = random.randrange(5)
        if way == 0:
            content = _with_entry(random, content)
        elif way in (1, 2):
            content = _with_odd_field(random, bytearray(content))
        elif way == 3:
            content = random.choice(BLIND)(random, bytearray(content), others)
        else:
            content = _without_end(random, content)
    return content


def _with_entry(random: Random, content: bytes) -> bytes:
    """One more entry, with an odd name or of an odd kind."""
    info = zipfile.ZipInfo(random.choice(NAMES))
    kind = random.choice((0, 0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR))
    info.external_attr = (kind | 0o777) << 16
    buffer = io.BytesIO(content)
    try:
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr(info, random.choice((b"", b"/etc/passwd", IMAGE)))
    except Exception:  # It is broken already.
        return content
    return buffer.getvalue()


def _with_odd_field(random: Random, content: bytearray) -> bytes:
    """A number behind one of the marks: sizes, places, flags, ways of compression, counts."""
    mark = random.choice(MARKS)
    places = [place for place in range(len(content)) if content.startswith(mark, place)]
    if places:
        place = random.choice(places) + random.randrange(4, 46, 2)
        number = random.choice((*ODD_NUMBERS, *ODD_LONGS, random.randrange(len(content))))
        content[place : place + 4] = (
            struct.pack("<I", number) if random.random() < 0.5 else content[place : place + 4]
        )
        content[place : place + 2] = struct.pack("<H", number & 0xFFFF)
    return bytes(content)


def _without_end(random: Random, content: bytes) -> bytes:
    """Cut within the table of contents, or its end repeated, or put before the rest."""
    end = max(0, content.rfind(END))
    start = max(0, content.find(ENTRY_IN_CONTENTS))
    return random.choice(
        (
            content[: random.randrange(start, len(content) + 1)],
            content + content[end:],
            content[start:] + content,
            content[:start] + content[end:],
        )
    )


def read(content: bytes) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as root:
        images, file = Path(root, "images"), io.BytesIO(content)
        try:
            contents = read_contents(file)
            unpack(file, contents, images, lambda number: None)
        except ZipRefused as refused:
            outcome = ("refused" if is_error_text(str(refused)) else "wrong"), str(refused)
        else:
            outcome = "read", f"{len(contents.entries)} images"
        made = list(Path(root).rglob("*"))
        outside = [path for path in made if path != images and not path.is_relative_to(images)]
        if outside or any(path.is_symlink() for path in made):
            return "wrong", f"{made}"
        if sum(path.stat().st_size for path in made) > MOST_UNPACKED:
            return "wrong", "much was unpacked"
        return outcome


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_BYTES, MAX_ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


ZIPS = Campaign(files, mutate, read, limit)
