"""What no zip of class folders needs, and so no zip may have: judged by the table of contents alone.

Whatever a zip says of itself is a claim. What is believed here (sizes, places) is held to while unpacking.
"""

import re
import stat
import struct
import unicodedata
import zipfile
from pathlib import PurePosixPath
from typing import BinaryIO

from ml.data.image_limits import MAX_BYTES

MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 20 * 1024**3
# X-rays hardly get smaller in a zip; a hundredth leaves room for blank images and plain DICOM files.
MAX_RATIO = 100
RATIO_COUNTS_FROM = 10 * 1024**2
MAX_CONTENTS_BYTES = 32 * 1024**2
# File systems end at 255.
MAX_NAME_BYTES = 200
MAX_PATH = 1000
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_SHOWN = 100
END_OF_CONTENTS = b"PK\x05\x06"
END_OF_CONTENTS_64 = b"PK\x06\x06"
LOCATOR_64 = b"PK\x06\x07"
ENTRY_HEAD_BYTES = 30
# Encrypted itself, strongly, or with its table of contents (APPNOTE 4.4.4).
ENCRYPTED = 0x1 | 0x40 | 0x2000
PATCH = 0x20
UTF_8 = 0x800
# Control and formatting characters, such as those that turn the direction of writing, which hide what a name is.
HIDDEN_CHARACTERS = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Persian and Indic scripts join and part letters with these.
JOINERS = "\u200c\u200d"


class ZipRefused(ValueError):
    """The zip cannot be used; str(error) is one sentence for the person."""


def check_entry(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name or ".." in parts:
        raise ZipRefused(f"The name {shown(info)} leads out of its folder.")
    if len(name) > MAX_PATH or any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in parts):
        raise ZipRefused(f"The name {shown(info)} is too long: up to {MAX_NAME_BYTES} bytes are accepted.")
    if not parts or not (name.isprintable() or _is_visible(name)):
        raise ZipRefused(f"The name {shown(info)} has characters that no name should have.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise ZipRefused(f"{shown(info)} is {what}; a data set needs files and folders only.")
    if info.flag_bits & ENCRYPTED:
        raise ZipRefused("This zip is encrypted; please send it without a password.")
    if info.compress_type not in COMPRESSIONS or info.flag_bits & PATCH:
        raise ZipRefused("This zip is compressed in a way that Callus does not read; please use a plain zip.")


def check_places(infos: list[zipfile.ZipInfo], contents_start: int) -> None:
    """Entries that share their bytes make a small zip grow without bound ("zip of death")."""
    end = contents_start
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        head_bytes = ENTRY_HEAD_BYTES + len(_raw_name(info))
        if info.header_offset < 0 or info.header_offset + head_bytes + info.compress_size > end:
            raise ZipRefused("This zip is damaged: its entries overlap.")
        end = info.header_offset


def check_sizes(images: list[zipfile.ZipInfo], zip_bytes: int) -> None:
    unpacked = sum(info.file_size for info in images)
    is_too_dense = unpacked > RATIO_COUNTS_FROM and unpacked > MAX_RATIO * zip_bytes
    if unpacked > MAX_UNPACKED_BYTES or is_too_dense:
        raise ZipRefused("This zip would grow too large when unpacked.")
    for info in images:
        if info.file_size > MAX_BYTES:
            raise ZipRefused(
                f"{shown(info)} is too large: an image may have up to {MAX_BYTES // 1024**2} MB."
            )


def check_size_of_contents(file: BinaryIO) -> None:
    """Python reads the whole table of contents into memory, so its size is asked first."""
    size = size_of(file)
    tail_size = min(size, 22 + 0xFFFF)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    start = tail.rfind(END_OF_CONTENTS)
    if start < 0 or len(tail) - start < 22:
        raise ZipRefused("This file is no zip, or it is damaged.")
    entries, contents_bytes = struct.unpack_from("<HI", tail, start + 10)
    if tail[max(0, start - 20) : start].startswith(LOCATOR_64):
        file.seek(max(0, size - tail_size + start - 20 - 56))
        record = file.read(56)
        if len(record) == 56 and record.startswith(END_OF_CONTENTS_64):
            entries, contents_bytes = struct.unpack_from("<QQ", record, 32)
    if entries > MAX_ENTRIES or contents_bytes > MAX_CONTENTS_BYTES:
        raise ZipRefused(f"This zip has more than {MAX_ENTRIES:,} entries.")


def size_of(file: BinaryIO) -> int:
    return file.seek(0, 2)


def shown(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    return ascii(name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "...")


def look(name: str) -> str:
    """Two names of one look are one name to a person, or to a file system."""
    if name.isascii():
        return name.lower()
    parted = name.translate(dict.fromkeys(map(ord, JOINERS)))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", parted).casefold())


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF_8 else "cp437")


def _is_visible(name: str) -> bool:
    return not any(
        unicodedata.category(letter) in HIDDEN_CHARACTERS and letter not in JOINERS for letter in name
    )
