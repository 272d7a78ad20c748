"""Which files are read, how they are decoded, and the sentences with which others are refused."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ml.data.image_limits import ImageRefused
from ml.data.images import encode_png, encode_thumbnail, read_image
from tests.ml.drawings import draw_bone


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_with_header(width: int, height: int) -> bytes:
    """Returns a PNG file that declares a size but contains almost no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


BONE = draw_bone("Oblique")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_grey_picture_is_read_as_two_dimensions(kind: str) -> None:
    image = read_image(encoded(Image.fromarray(BONE), kind))
    assert image.pixels.shape == BONE.shape
    assert image.pixels.dtype == np.uint8
    assert (image.width, image.height) == (BONE.shape[1], BONE.shape[0])
    assert image.format == kind.lower()
    assert np.abs(image.pixels.astype(int) - BONE).mean() < 3


def test_equal_channels_are_read_as_grey_and_others_as_rgb() -> None:
    grey = Image.fromarray(BONE).convert("RGB")
    tinted = np.array(grey)
    tinted[..., 2] //= 2
    assert read_image(encoded(grey)).pixels.ndim == 2
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(tinted))).pixels, tinted)


def test_palette_and_one_bit_pictures_are_read() -> None:
    palette = Image.fromarray(BONE).convert("RGB").quantize(32)
    np.testing.assert_array_equal(
        read_image(encoded(palette)).pixels, np.array(palette.convert("RGB"))[..., 0]
    )
    one_bit = Image.fromarray(BONE).convert("1")
    assert set(np.unique(read_image(encoded(one_bit)).pixels)) == {0, 255}


def test_a_cmyk_jpeg_is_read() -> None:
    cmyk = Image.fromarray(BONE).convert("RGB").convert("CMYK")
    pixels = read_image(encoded(cmyk, "JPEG", quality=95)).pixels
    assert np.abs(pixels.reshape(*BONE.shape, -1).mean(-1) - BONE).mean() < 3


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    np.testing.assert_array_equal(
        read_image(encoded(Image.fromarray(ramp))).pixels, np.rint(ramp / 257).astype(np.uint8)
    )


def test_transparent_pixels_are_composited_on_black() -> None:
    image = Image.new("RGBA", (64, 64), (200, 200, 200, 255))
    image.paste((255, 255, 255, 0), (0, 0, 32, 64))
    pixels = read_image(encoded(image)).pixels
    assert pixels[:, :32].max() == 0
    assert pixels[:, 32:].min() == 200


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(BONE)
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in back:
        stored = stored.transpose(back[orientation])
    np.testing.assert_array_equal(read_image(encoded(stored, exif=exif)).pixels, BONE)


@pytest.mark.parametrize("size", [(40, 286), (290, 50)])
def test_very_narrow_pictures_are_read(size: tuple[int, int]) -> None:
    image = read_image(encoded(Image.new("L", size), "JPEG"))
    assert (image.width, image.height) == size


def test_a_path_and_an_open_file_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "bone.dcm"  # the name does not matter
    path.write_bytes(encoded(Image.fromarray(BONE)))
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_image(file).pixels, read_image(path).pixels)


COLOURED = np.stack([BONE, BONE // 2, BONE // 3], -1)
NOISE = np.random.default_rng(0).integers(0, 256, (97, 61), np.uint8)


@pytest.mark.parametrize("pixels", [BONE, BONE[::-1, ::-1], COLOURED, NOISE, BONE[:32, :32]])
def test_encoded_pixels_are_decoded_identically(pixels: NDArray[np.uint8]) -> None:
    content = encode_png(pixels)
    np.testing.assert_array_equal(read_image(content).pixels, pixels)
    with Image.open(io.BytesIO(content)) as image:
        image.verify()


def test_encoded_pixels_take_no_more_space_than_with_pillow() -> None:
    assert len(encode_png(BONE)) <= len(encoded(Image.fromarray(BONE), compress_level=3))


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_coloured_pixel_keeps_an_image_coloured(channel: int) -> None:
    pixels = np.stack([BONE] * 3, -1)
    assert read_image(encoded(Image.fromarray(pixels))).pixels.ndim == 2
    pixels[-1, -1, channel] ^= 1
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels))).pixels, pixels)


def test_a_thumbnail_keeps_the_proportions() -> None:
    with Image.open(io.BytesIO(encode_thumbnail(np.zeros((1000, 500), np.uint8)))) as thumbnail:
        assert thumbnail.size == (160, 320)
        assert thumbnail.format == "JPEG"


ANIMATION = [Image.new("L", (64, 64), grey) for grey in (0, 128, 255)]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "The file is empty.", id="empty"),
        pytest.param(b"patient: bone", "is not a JPEG, PNG or DICOM", id="text"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a JPEG, PNG or DICOM", id="svg"),
        pytest.param(b"<!doctype html><script>", "is not a JPEG, PNG or DICOM", id="html"),
        pytest.param(encoded(ANIMATION[0], "GIF"), "is not a JPEG, PNG or DICOM", id="gif"),
        pytest.param(b"\xff\xd8\xff" + bytes(500), "is damaged", id="jpeg start, then nothing"),
        pytest.param(
            png_with_header(50_000, 50_000), "50000 x 50000 pixels; at most 64 million", id="too many pixels"
        ),
        pytest.param(png_with_header(400, 400), "is cut off", id="too little data"),
        pytest.param(encoded(Image.new("L", (31, 500))), "31 x 500 pixels; each side", id="too small"),
        pytest.param(
            encoded(ANIMATION[0], save_all=True, append_images=ANIMATION[1:]), "is animated", id="animation"
        ),
    ],
)
def test_unusable_files_are_refused_in_one_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ImageRefused, match=sentence) as refusal:
        read_image(data)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_cut_off_anywhere_is_refused(kind: str) -> None:
    whole = encoded(Image.fromarray(BONE), kind)
    # The end marker of a JPEG file may be missing; tests/ml/data/test_damaged_images.py.
    longest = len(whole) - (3 if kind == "JPEG" else 1)
    for length in [*range(1, longest, len(whole) // 40), longest]:
        with pytest.raises(ImageRefused):
            read_image(whole[:length])


def test_real_cut_off_files_are_refused(shared: Path) -> None:
    paths = sorted((shared / "data/truncated").glob("*.jpg"))
    assert paths
    for path in paths:
        with pytest.raises(ImageRefused, match="cut off"):
            read_image(path)


def test_a_file_over_the_limit_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(200 * 1024**2 + 1)
    with pytest.raises(ImageRefused, match="larger than 200 MB"):
        read_image(path)


def test_a_jpeg_with_many_scans_is_refused() -> None:
    progressive = encoded(Image.fromarray(BONE), "JPEG", progressive=True)
    scan = progressive.rindex(b"\xff\xda")
    with pytest.raises(ImageRefused, match="more than 100 scans"):
        read_image(progressive[:-2] + progressive[scan:-2] * 100 + b"\xff\xd9")


def test_files_with_random_errors_are_read_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    random = np.random.default_rng(1)
    caplog.set_level(logging.WARNING)
    for kind in ("JPEG", "PNG"):
        whole = np.frombuffer(encoded(Image.fromarray(BONE), kind), np.uint8)
        for _ in range(60):
            broken = whole.copy()
            broken[random.integers(8, len(whole), 20)] = random.integers(0, 256, 20)
            try:
                assert read_image(broken.tobytes()).pixels.size > 0
            except ImageRefused as refusal:
                assert str(refusal).endswith(".")
    assert not caplog.records
