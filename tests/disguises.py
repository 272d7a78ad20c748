"""Files that are not, or not only, what they seem: each with SECRET in a place where no pixel is."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD

from tests.data_sets import zip_of
from tests.fuzz.mutations import png_chunk
from tests.ml.data.test_dicom import dicom
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone

SECRET = "SECRET-Meier-Hans"
HTML = f"<!doctype html><script>alert('{SECRET}')</script>".encode()
BONE = draw_bone("Oblique")
GREY = Image.fromarray(BONE)


def jpeg(segment: int | None = None, content: bytes = b"", **options: Any) -> bytes:
    """A JPEG, with one more segment behind its head."""
    whole = encoded(GREY, "JPEG", quality=95, **options)
    if segment is None:
        return whole
    return whole[:2] + struct.pack(">2BH", 0xFF, segment, 2 + len(content)) + content + whole[2:]


def png(kind: bytes = b"", content: bytes = b"") -> bytes:
    """A PNG, with one more chunk behind its head."""
    whole = encoded(GREY)
    return whole[:33] + png_chunk(kind, content) + whole[33:] if kind else whole


def exif() -> Image.Exif:
    """Who, where, and the description; and behind it, as cameras do, a small picture."""
    found = Image.Exif()
    found[0x010E] = found[0x013B] = found[0x8298] = SECRET
    found.get_ifd(IFD.Exif)[0x9286] = SECRET.encode()
    found.get_ifd(IFD.GPSInfo).update({1: "N", 2: (49.0, 24.0, 30.0), 29: "1970:01:01", 27: SECRET.encode()})
    return found


def with_small_picture() -> bytes:
    return jpeg(0xE1, b"Exif\0\0" + exif().tobytes()[6:] + jpeg(comment=SECRET))


def iptc() -> bytes:
    record = b"\x1c\x02\x50" + struct.pack(">H", len(SECRET)) + SECRET.encode()
    return b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record


def noted() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET)
    text.add_text("Zipped", SECRET * 20, zip=True)
    text.add_itxt("Title", SECRET, "de", SECRET)
    text.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{SECRET}</x:xmpmeta>")
    return encoded(GREY, pnginfo=text, exif=exif(), icc_profile=SECRET.encode() * 10, dpi=(300, 300))


def two_pictures() -> bytes:
    """A JPEG with another behind it, as phones write them."""
    return encoded(GREY, "MPO", save_all=True, append_images=[GREY.rotate(180)], exif=exif(), comment=SECRET)


def animated() -> bytes:
    return encoded(GREY, save_all=True, append_images=[GREY.rotate(180)])


def zipped() -> bytes:
    return zip_of({f"{SECRET}.txt": HTML})


def executable_dicom() -> bytes:
    """What stands before the DICOM mark may be the head of a program, or of a page."""
    return HTML.ljust(128, b"\0")[:128] + dicom(BONE)[128:]


# Read, and nothing but their pixels kept.
DISGUISED: dict[str, Callable[[], bytes]] = {
    "jpeg with exif": lambda: jpeg(exif=exif()),
    "jpeg with a small picture": with_small_picture,
    "jpeg with xmp": lambda: jpeg(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + SECRET.encode()),
    "jpeg with iptc": lambda: jpeg(0xED, iptc()),
    "jpeg with a colour profile": lambda: jpeg(icc_profile=SECRET.encode() * 10),
    "jpeg with a comment": lambda: jpeg(comment=SECRET),
    "jpeg with a page as comment": lambda: jpeg(0xFE, HTML),
    "jpeg with a document as comment": lambda: jpeg(0xFE, b"%PDF-1.7\n" + HTML),
    "jpeg with a page behind it": lambda: jpeg() + HTML,
    "jpeg with a zip behind it": lambda: jpeg() + zipped(),
    "jpeg with another jpeg behind it": two_pictures,
    "png with notes": noted,
    "png with a page as text": lambda: png(b"tEXt", b"a\0" + HTML),
    "png with a private chunk": lambda: png(b"seCr", HTML),
    "png with a page behind it": lambda: png() + HTML,
    "png with a zip behind it": lambda: png() + zipped(),
    "png with a page as its palette": lambda: page_in_palette(),
    "dicom with a page before it": executable_dicom,
    "dicom with a page behind it": lambda: (
        dicom(BONE) + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 400) + HTML * 7
    ),
}

# Refused.
IMPOSTORS: dict[str, Callable[[], bytes]] = {
    "svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>" + SECRET.encode(),
    "page": lambda: HTML,
    "page that begins like a jpeg": lambda: b"\xff\xd8\xff\xe0" + HTML,
    "page that begins like a png": lambda: b"\x89PNG\r\n\x1a\n" + HTML + b"IEND\xae\x42\x60\x82",
    "script that is a gif": lambda: (
        b"GIF89a=1;/*" + encoded(GREY, "GIF")[11:] + f"*/;alert('{SECRET}')".encode()
    ),
    "gif": lambda: encoded(GREY, "GIF", comment=SECRET.encode()),
    "webp": lambda: encoded(GREY, "WEBP"),
    "tiff": lambda: encoded(GREY, "TIFF", description=SECRET),
    "jpeg 2000": lambda: encoded(GREY, "JPEG2000"),
    "document": lambda: b"%PDF-1.7\n" + HTML,
    "zip": zipped,
    "animated png": animated,
    "dicom without a picture": lambda: dicom(None, PatientName=SECRET),
}

NAMES = (
    "x.png",
    "x.html",
    "x.svg",
    "x.php",
    "x.jpg.exe",
    "data:text,x",
    "data:text/html,<b>.png",
    "con",
    "-.png",
)


def page_in_palette() -> bytes:
    image = GREY.quantize(16)
    image.putpalette((HTML * 10)[:48])
    return encoded(image)


def is_nothing_but_pixels(content: bytes) -> bool:
    """Whether a PNG or JPEG has no part but those that pixels need."""
    if content.startswith(b"\x89PNG"):
        return set(png_parts(content)) == {b"IHDR", b"IDAT", b"IEND"} and content.endswith(
            png_chunk(b"IEND", b"")
        )
    return set(jpeg_parts(content)) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA} and content.endswith(b"\xff\xd9")


def png_parts(content: bytes) -> list[bytes]:
    place, parts = 8, []
    while place < len(content):
        parts.append(content[place + 4 : place + 8])
        place += 12 + int.from_bytes(content[place : place + 4])
    return parts


def jpeg_parts(content: bytes) -> list[int]:
    place, parts = 2, []
    while not parts or parts[-1] != 0xDA:
        parts.append(content[place + 1])
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    return parts


def shows_the_bone(content: bytes) -> bool:
    with Image.open(io.BytesIO(content)) as image:
        return bool(np.abs(np.asarray(image.convert("L"), int) - BONE).mean() < 3)
