"""Ways to break a file: blind ones, and ones that know PNG, JPEG and DICOM and so get past the first checks."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from pydicom import config, dcmread

ODD_BYTES = (0, 1, 2, 3, 8, 0x7F, 0x80, 0xFE, 0xFF)
ODD_NUMBERS = (0, 1, 2, 7, 9, 12, 31, 32, 33, 255, 256, 1000, 8000, 0x7FFF, 0x8000, 0xFFFF)
ODD_LONGS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
ODD_TEXTS = ("", "0", "-1", "1e308", "nan", "inf", "1\\2", "x" * 70, "Meier^Hans", "65535", "0.5")
PHOTOMETRIC = (
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "XYB"),
    *("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"),
)
NUMBERS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"),
    *("PixelRepresentation", "PlanarConfiguration", "PixelPaddingValue"),
)
TEXTS = (
    "NumberOfFrames",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTFunction",
)
# Behind these stands most of what decoders look at: where compressed pixels begin, and where DICOM describes them.
MARKS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xfe\xff\x00\xe0", b"\x28\x00\x02\x00")
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"),
    *(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 92, 201, 203)),
    *("1.2.840.10008.1.2.5", "1.2.3.4"),
)


def mutate(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """The file, broken in one to several ways."""
    if random.random() < 0.35:
        if content.startswith(b"\x89PNG"):
            content = mutate_png(random, content)
        elif content.startswith(b"\xff\xd8"):
            content = mutate_jpeg(random, content)
        elif content[128:132] == b"DICM":
            content = mutate_dicom(random, content)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        content = random.choice(BLIND)(random, bytearray(content), others)
    return content


def _place(random: Random, content: bytearray) -> int:
    """Anywhere, but often near what decoders look at."""
    places = [content.find(mark, 100) for mark in MARKS] if random.random() < 0.9 else []
    start = random.choice([place for place in places if place > 0] or [0])
    reach = 400 if random.random() < 0.6 else len(content)
    return random.randrange(start, max(start, min(len(content), start + reach)) or 1)


def _flip_bit(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    if content:
        content[min(_place(random, content), len(content) - 1)] ^= 1 << random.randrange(8)
    return bytes(content)


def _set_byte(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    place = _place(random, content)
    content[place : place + 1] = bytes([random.choice((*ODD_BYTES, random.randrange(256)))])
    return bytes(content)


def _set_number(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    """Lengths are numbers of two or four bytes."""
    place = _place(random, content)
    if random.random() < 0.5:
        number = struct.pack(
            random.choice("<>") + "H", random.choice((*ODD_NUMBERS, random.randrange(2**16)))
        )
    else:
        number = struct.pack(random.choice("<>") + "I", random.choice((*ODD_LONGS, random.randrange(2**32))))
    content[place : place + len(number)] = number
    return bytes(content)


def _cut_end(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    return bytes(content[: random.randrange(len(content) + 1)])


def _cut_out(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    place = _place(random, content)
    del content[place : place + random.choice((1, 2, 4, 50, 500))]
    return bytes(content)


def _repeat(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    start, place = _place(random, content), _place(random, content)
    content[place:place] = content[start : start + random.choice((1, 2, 12, 100, 2000))] * random.choice(
        (1, 2, 50)
    )
    return bytes(content)


def _splice(random: Random, content: bytearray, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    start, place = random.randrange(len(other)), _place(random, content)
    if random.random() < 0.3:
        return bytes(content[:place]) + other[start:]
    length = random.randrange(1, 600)
    content[place : place + length] = other[start : start + length]
    return bytes(content)


BLIND: tuple[Callable[[Random, bytearray, Sequence[bytes]], bytes], ...] = (
    *(_flip_bit, _set_byte, _set_byte, _set_number, _set_number),
    *(_cut_end, _cut_out, _repeat, _splice),
)


def mutate_png(random: Random, content: bytes) -> bytes:
    """Changes chunks and gives them right checksums again, removes, repeats or moves them."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    index = random.randrange(len(chunks))
    kind, data = chunks[index]
    way = random.randrange(5)
    if way == 0:
        chunks[index] = (kind, random.choice(BLIND[:7])(random, bytearray(data or b"x"), [b"x"]))
    elif way == 1:
        del chunks[index]
    elif way == 2:
        chunks[index:index] = [(kind, data)] * random.choice((1, 3, 200))
    elif way == 3:
        chunks.insert(random.randrange(len(chunks)), chunks.pop(index))
    else:
        name = random.choice(
            (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"acTL", b"fcTL", b"PLTE", b"tRNS")
        )
        chunks.insert(index, (name, random.choice((b"", b"\0", b"a\0\0", zlib.compress(bytes(10**6)), data))))
    return content[:8] + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def mutate_jpeg(random: Random, content: bytes) -> bytes:
    """Changes, removes or repeats segments, which keep right lengths."""
    segments, place = [], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        length = 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        segments.append(content[place : place + length])
        place += length
    if not segments:
        return content
    index = random.randrange(len(segments))
    way = random.randrange(4)
    if way == 0:
        data = random.choice(BLIND[:7])(random, bytearray(segments[index][4:] or b"x"), [b"x"])[:60_000]
        segments[index] = segments[index][:2] + struct.pack(">H", 2 + len(data)) + data
    elif way == 1:
        del segments[index]
    elif way == 2:
        segments[index:index] = [segments[index]] * random.choice((1, 3, 200))
    else:
        mark = random.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCC, 0xDD, 0xE1, 0xE2, 0xEE, 0xFE))
        segments[index] = segments[index][:1] + bytes([mark]) + segments[index][2:]
    return content[:2] + b"".join(segments) + content[place:]


def mutate_dicom(random: Random, content: bytes) -> bytes:
    """Changes or removes elements that say how the pixels are to be read."""
    buffer = io.BytesIO()
    try:
        with config.disable_value_validation():
            data: Any = dcmread(io.BytesIO(content))
            for _ in range(random.choice((1, 1, 2, 4))):
                _change_element(random, data)
            data.save_as(buffer)
    except Exception:  # pydicom itself writes no such file.
        return content
    return buffer.getvalue()


def _change_element(random: Random, data: Any) -> None:
    way = random.randrange(7)
    if way == 0:
        name = random.choice((*NUMBERS, *TEXTS, "PhotometricInterpretation"))
        if name in data:
            delattr(data, name)
    elif way == 1:
        data.PhotometricInterpretation = random.choice(PHOTOMETRIC)
    elif way == 2:
        data[random.choice(NUMBERS)].value = random.choice(ODD_NUMBERS)
    elif way == 3:
        setattr(data, random.choice(TEXTS), random.choice(ODD_TEXTS))
    elif way == 4:
        data.Rows = data.Columns = random.choice((32, 48, 64, 8000, 65535))
    elif way == 5:
        data.file_meta.TransferSyntaxUID = random.choice(SYNTAXES)
    else:
        pixels = bytearray(data.PixelData)
        data["PixelData"].value = random.choice(BLIND[:8])(random, pixels, [b"x"])
