"""Zips that somebody made to harm: what they are called, how they are made, and what is said of them.

Most show it in their table of contents and are refused at the door; LIES show it only while they are unpacked.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.data_sets import zip_of

IMAGE = b"not looked into here" * 100
IN_CONTENTS, HEAD, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
# Where these stand in an entry of the table of contents.
FLAGS, METHOD, PACKED, SIZE, PLACE = 8, 10, 20, 24, 42


def good(**more: bytes) -> dict[str, bytes]:
    return {"A/1.png": IMAGE, "A/2.png": IMAGE, "B/1.png": IMAGE, **more}


def patched(field: int, value: int, form: str = "<I", *, entry: int = 0, data: bytes = b"") -> bytes:
    """A good zip in whose table of contents one entry has another number."""
    content = bytearray(data or zip_of(good()))
    place = 0
    for _ in range(entry + 1):
        place = content.index(IN_CONTENTS, place + 1)
    struct.pack_into(form, content, place + field, value)
    return bytes(content)


def entry_of(name: str, *, mode: int = 0, data: bytes = IMAGE) -> bytes:
    """A good zip with one more entry; what Python would not write is written into the finished zip."""
    content = io.BytesIO(zip_of(good()))
    written = name.replace("\0", "!")
    with zipfile.ZipFile(content, "a") as archive:
        info = zipfile.ZipInfo(written)
        info.external_attr = mode << 16
        archive.writestr(info, data)
    return content.getvalue().replace(written.encode(), name.encode())


def bomb(*, entries: int = 3) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(entries):
            archive.writestr(f"A/{number}.png", bytes(20 * 1024**2))
    return content.getvalue()


def all_in_one() -> bytes:
    """Entries that are all the same bytes: the classic way to a zip that unpacks to a thousand times its size."""
    content = bytearray(zip_of({f"A/{number}.png": IMAGE for number in range(9)}))
    place = 0
    while (place := content.find(IN_CONTENTS, place + 1)) >= 0:
        struct.pack_into("<I", content, place + PLACE, 0)
    return bytes(content)


def quoted() -> bytes:
    """Each entry's data quotes the head of the next one ("zip of death"), so all of them share the last one's."""
    size, packed = 10**6, zlib.compress(bytes(10**6), 9)[2:-4]
    raw = _head("A/0.png", len(packed), size) + packed
    entries = [("A/0.png", len(packed), size, len(raw))]
    for number in range(1, 5):
        name, head_bytes = f"A/{number}.png", len(raw) - len(packed)
        packed = struct.pack("<B2H", 0, head_bytes, 0xFFFF ^ head_bytes) + raw
        size += head_bytes
        raw = _head(name, len(packed), size) + packed
        entries.append((name, len(packed), size, len(raw)))
    contents = b"".join(
        _in_contents(name, packed_size, size, len(raw) - begins)
        for name, packed_size, size, begins in entries
    )
    end = struct.pack("<4s4H2IH", END, 0, 0, len(entries), len(entries), len(contents), len(raw), 0)
    return raw + contents + end


def _head(name: str, packed: int, size: int) -> bytes:
    return struct.pack("<4s5H3I2H", HEAD, 20, 0, 8, 0, 0, 0, packed, size, len(name), 0) + name.encode()


def _in_contents(name: str, packed: int, size: int, place: int) -> bytes:
    fields = (20, 20, 0, 8, 0, 0, 0, packed, size, len(name), 0, 0, 0, 0, 0, place)
    return struct.pack("<4s6H3I5H2I", IN_CONTENTS, *fields) + name.encode()


def of_64_bits() -> bytes:
    """A zip64 whose entry says that it unpacks to an exabyte."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive, archive.open("A/1.png", "w", force_zip64=True) as entry:
        entry.write(IMAGE)
    whole = bytearray(content.getvalue())
    place = whole.rindex(IN_CONTENTS)
    (name_bytes,) = struct.unpack_from("<H", whole, place + 28)
    extra = struct.pack("<2HQ", 1, 8, 2**60)
    struct.pack_into("<I", whole, place + SIZE, 0xFFFFFFFF)
    struct.pack_into("<H", whole, place + 30, len(extra))
    whole[place + 46 + name_bytes : place + 46 + name_bytes] = extra
    end = whole.rindex(END)
    struct.pack_into("<I", whole, end + 12, end - place)
    return bytes(whole)


def of_endless_contents() -> bytes:
    """A zip64 that says that its table of contents has a thousand billion entries."""
    whole = zip_of(good())
    end = whole.rindex(END)
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**12, 10**12, 46 * 10**12, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return whole[:end] + record + locator + whole[end:]


def of_64_bits_elsewhere() -> bytes:
    """A zip64 whose record is not before its locator: some versions of Python find it, with any size."""
    whole = zip_of(good())
    end = whole.rindex(END)
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44 + 56, 45, 45, 0, 0, 10**6, 10**6, 46 * 10**6, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return whole[:end] + record + bytes(56) + locator + whole[end:]


def hidden_crowd(entries: int) -> bytes:
    """A zip whose table of contents says that it has one entry."""
    contents = _in_contents("A", 0, 0, 0) * entries
    return contents + struct.pack("<4s4H2IH", END, 0, 0, 1, 1, len(contents), 0, 0)


def crowd(entries: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(entries):
            archive.writestr(zipfile.ZipInfo(f"A/{number}.png"), b"")
    return content.getvalue()


def commented(comment: bytes) -> bytes:
    content = io.BytesIO(zip_of(good()))
    with zipfile.ZipFile(content, "a") as archive:
        archive.comment = comment
    return content.getvalue()


OUT = "points outside its folder"
HIDDEN = "is empty or contains invisible characters"
OVERLAP = "This zip is invalid: its entries overlap."
NO_ZIP = "This file is not a zip, or it is damaged."
LOCKED = "This zip is encrypted. Upload it without a password."
UNKNOWN = "This zip uses an unsupported compression method. Create it with the standard method (Deflate)."

ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (bomb, "This zip is too large when unpacked."),
    "one image of 4 GB": (lambda: patched(SIZE, 0xFFFFFFF0), "This zip is too large when unpacked."),
    "an exabyte in zip64": (of_64_bits, "This zip is too large when unpacked."),
    "all entries are the same bytes": (all_in_one, OVERLAP),
    "each entry quotes the next one": (quoted, OVERLAP),
    "an entry reaches into the next": (lambda: patched(PACKED, len(IMAGE) + 1), OVERLAP),
    "the last entry reaches into the contents": (lambda: patched(PACKED, len(IMAGE) + 1, entry=2), OVERLAP),
    "an entry lies behind the end": (lambda: patched(PLACE, 0x7FFFFFFF), OVERLAP),
    "a thousand billion entries": (of_endless_contents, "This zip has more than 100,000 entries."),
    "a zip64 record elsewhere": (of_64_bits_elsewhere, NO_ZIP),
    "100,001 entries": (lambda: crowd(100_001), "This zip has more than 100,000 entries."),
    "contents cut off": (lambda: zip_of(good())[:-60], NO_ZIP),
    "contents elsewhere": (lambda: zip_of(good()).replace(IN_CONTENTS, b"PK\x01\x03"), NO_ZIP),
    "an end in the comment": (lambda: commented(END + bytes(18)), "contains no images"),
    "an end cut off in the comment": (lambda: commented(END + b"xx"), NO_ZIP),
    "absolute name": (lambda: entry_of("/etc/cron.d/x.png"), OUT),
    "parent folder": (lambda: entry_of("A/../../../x.png"), OUT),
    "drive letter": (lambda: entry_of("C:\\x.png"), OUT),
    "drive letter, no folder": (lambda: entry_of("c:x.png"), OUT),
    "share": (lambda: entry_of("\\\\host\\A\\x.png"), OUT),
    "backslashes": (lambda: entry_of("A\\..\\..\\x.png"), OUT),
    "zero byte": (lambda: entry_of("A/x.png\0.txt"), HIDDEN),
    "line break": (lambda: entry_of("A/x\n.png"), HIDDEN),
    "reversed name": (lambda: entry_of("A/x\u202egnp.exe.png"), HIDDEN),
    "invisible letter": (lambda: entry_of("A\u200b/x.png"), HIDDEN),
    "long name": (lambda: entry_of(f"A/{'x' * 250}.png"), "is too long"),
    "long path": (lambda: entry_of("A/" * 5000 + "x.png"), "is too long"),
    "the same name": (lambda: entry_of("A/1.PNG"), "twice, or next to a name that looks the same"),
    "a name that looks the same": (
        lambda: entry_of("A/\uff11.png"),
        "twice, or next to a name that looks the same",
    ),
    "a class that looks the same": (lambda: entry_of("\uff21/x.png"), "look the same"),
    "a class in capitals": (lambda: entry_of("b/x.png"), "look the same"),
    "link": (lambda: entry_of("A/x.png", mode=stat.S_IFLNK | 0o777, data=b"/etc/passwd"), "is a link"),
    "link to a folder": (lambda: entry_of("A/x", mode=stat.S_IFLNK | 0o777, data=b"/etc"), "is a link"),
    "device": (lambda: entry_of("A/x.png", mode=stat.S_IFCHR | 0o666), "is not a regular file"),
    "pipe": (lambda: entry_of("A/x.png", mode=stat.S_IFIFO | 0o666), "is not a regular file"),
    "socket": (lambda: entry_of("A/x.png", mode=stat.S_IFSOCK | 0o666), "is not a regular file"),
    "encrypted": (lambda: patched(FLAGS, 0x1, "<H"), LOCKED),
    "strongly encrypted": (lambda: patched(FLAGS, 0x41, "<H"), LOCKED),
    "encrypted contents": (lambda: patched(FLAGS, 0x2000, "<H"), LOCKED),
    "patch": (lambda: patched(FLAGS, 0x20, "<H"), UNKNOWN),
    **{
        f"compression {method}": (lambda method=method: patched(METHOD, method, "<H"), UNKNOWN)
        for method in (1, 6, 9, 12, 14, 93, 95, 98, 99, 0xFFFF)
    },
    "empty class": (lambda: zip_of(good(**{"C/": b""})), "The class 'C' contains no images."),
    "no class": (lambda: zip_of({"1.png": IMAGE}), "is not in a class folder"),
    "nothing": (lambda: zip_of({}), "contains no images"),
    "zips only": (lambda: zip_of({"A/1.zip": zip_of(good())}), "contains no images"),
}

LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "larger than it says": (lambda: patched(SIZE, 10), "'A/1.png' cannot be unpacked"),
    "smaller than it says": (lambda: patched(SIZE, len(IMAGE) + 10), "'A/1.png' is"),
    "another name inside": (
        lambda: zip_of(good()).replace(b"A/1.png", b"../x.pn", 1),
        "'A/1.png' cannot be unpacked; it may be damaged.",
    ),
    "no entry there": (lambda: zip_of(good()).replace(HEAD, b"PK\x03\x05", 1), "may be damaged"),
    "damaged": (
        lambda: zip_of(good()).replace(b"looked", b"hooked", 1),
        "cannot be unpacked; it may be damaged.",
    ),
    "called deflated": (lambda: patched(METHOD, 8, "<H"), "cannot be unpacked; it may be damaged."),
}
