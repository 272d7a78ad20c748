"""A malicious file affects only the decoder process that reads it."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ml.data import images, sandbox
from ml.data.image_limits import ImageRefused
from tests.ml.compressed import SYNTAXES, compress
from tests.ml.data.test_dicom import dicom
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, wait_until

BONE = draw_bone()
PNG = encoded(Image.fromarray(BONE))
LARGE_COLOUR = encoded(Image.new("RGB", (8000, 8000)))
LARGE = encoded(Image.new("L", (8000, 8000)))


@pytest.fixture
def no_processes() -> Iterator[None]:
    """Stops the decoder processes before and after a test that changes or counts them."""
    sandbox.stop_idle_processes()
    yield
    sandbox.stop_idle_processes()


def command_with(limit: str) -> list[str]:
    """The decoder process with a lower limit, which is reached sooner."""
    code = f"from ml.data import decoder_process; decoder_process.{limit}; decoder_process.main()"
    return [sys.executable, "-c", code]


def crashing() -> bytes:
    """Returns a DICOM file with a damaged marker in its compressed stream, which makes gdcm abort."""
    whole = bytearray(compress(dicom(BONE), "jpeg lossless"))
    whole[whole.index(b"\xff\xd8\xff") + 15] = 29
    return bytes(whole)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_is_read_as_outside_of_the_sandbox(kind: str, tmp_path: Path) -> None:
    for picture in (BONE, np.stack([BONE, BONE // 2, BONE // 3], -1)):
        content = encoded(Image.fromarray(picture), kind)
        path = tmp_path / "x"
        path.write_bytes(content)
        for source in (content, path, io.BytesIO(content)):
            read = sandbox.read_image(source)
            np.testing.assert_array_equal(read.pixels, images.read_image(content).pixels)
            assert read.format == kind.lower()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_compression_of_dicom_is_read(syntax: str) -> None:
    expected = images.read_image(compress(dicom(BONE), "run lengths")).pixels.astype(int)
    read = sandbox.read_image(compress(dicom(BONE), syntax))
    assert read.format == "dicom"
    assert np.abs(read.pixels - expected).mean() < (3 if syntax in ("jpeg", "jpeg extended") else 0.001)


def test_a_file_that_crashes_its_decoder_is_refused_and_the_next_one_is_read() -> None:
    with pytest.raises(
        ImageRefused, match=r"^The decoder crashed while reading the file, which may be damaged"
    ):
        sandbox.read_image(crashing())
    assert sandbox.read_image(PNG).pixels.shape == BONE.shape


def test_the_file_crashes_a_process_without_the_sandbox() -> None:
    """Ensures that the previous test tests something."""
    code = "import sys; from ml.data.images import read_image; read_image(sys.stdin.buffer.read())"
    end = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=crashing(), capture_output=True, check=False
    )
    assert -end.returncode in (signal.SIGSEGV, signal.SIGABRT)


@pytest.mark.parametrize("syntax", ["jpeg lossless", "jpeg-ls"])
def test_a_stream_of_more_bits_than_there_are_is_refused_before_it_is_decoded(syntax: str) -> None:
    """gdcm crashes on such streams."""
    whole = bytearray(compress(dicom(BONE), syntax))
    frame = {"jpeg lossless": b"\xff\xc3", "jpeg-ls": b"\xff\xf7"}[syntax]
    whole[whole.index(frame, whole.index(b"\xff\xd8\xff")) + 4] = 56
    with pytest.raises(ImageRefused, match="more bits per sample than its header declares"):
        images.read_image(bytes(whole))


def test_an_ordinary_refusal_is_passed_on() -> None:
    with pytest.raises(ImageRefused, match=r"^The file is not a JPEG, PNG or DICOM image\.$"):
        sandbox.read_image(b"patient: bone")
    with pytest.raises(ImageRefused, match=r"^The file is empty\.$"):
        sandbox.read_image(b"")


def test_a_path_that_cannot_be_opened_raises_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sandbox.read_image(tmp_path / "nothing.png")


@pytest.mark.usefixtures("no_processes")
def test_a_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "COMMAND", command_with("MAX_CPU_SECONDS = 0.05"))
    with pytest.raises(ImageRefused, match=r"^The file takes too long to read\.$"):
        sandbox.read_image(LARGE)


def test_a_file_that_would_be_read_forever_is_refused_at_once() -> None:
    """pydicom skips the boxes before the image, and loops forever at a box of length 0."""
    data = dcmread(io.BytesIO(compress(dicom(BONE), "jpeg 2000 lossless")))
    frame = next(generate_frames(data.PixelData, number_of_frames=1))
    data.PixelData = encapsulate([b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(8) + frame])
    endless = io.BytesIO()
    data.save_as(endless)
    with pytest.raises(ImageRefused, match=r"^The DICOM file is cut off or damaged\.$"):
        sandbox.read_image(endless.getvalue())


@pytest.mark.usefixtures("no_processes")
def test_a_file_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Enough for the decoders, but not for the pixels.
    monkeypatch.setattr(sandbox, "COMMAND", command_with("MAX_ADDRESS_BYTES = 420 * 1024**2"))
    with pytest.raises(ImageRefused, match=r"^The file needs too much memory to read\.$"):
        sandbox.read_image(LARGE_COLOUR)
    assert sandbox.read_image(PNG).pixels.shape == BONE.shape


def test_a_deflated_file_is_refused_without_inflating_it() -> None:
    """A DICOM file that inflates to 3 GB; its transfer syntax comes after a value of 5000 bytes."""
    version, syntax = bytes(5000), DeflatedExplicitVRLittleEndian.encode() + b"\0"
    head = bytes(128) + b"DICM"
    head += struct.pack("<2H2s2xI", 2, 1, b"OB", len(version)) + version
    head += struct.pack("<2H2sH", 2, 16, b"UI", len(syntax)) + syntax
    squeezer = zlib.compressobj(wbits=-15)
    megabyte = squeezer.compress(bytes(1024**2)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    bomb = megabyte * 3 * 1024 + squeezer.flush()
    with pytest.raises(ImageRefused, match=r"^The DICOM file is deflated \(compressed as a whole\)"):
        sandbox.read_image(head + bomb)


@pytest.mark.usefixtures("no_processes")
def test_a_decoder_process_that_was_killed_is_replaced() -> None:
    sandbox.read_image(PNG)
    (reader,) = sandbox._idle
    reader.kill()
    assert sandbox.read_image(PNG).pixels.shape == BONE.shape


class KillsItsDecoderOnce(io.BytesIO):
    """A file that kills the process that reads it, once, when half of it has been sent."""

    reader = 0

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 0 and self.reader:
            children = Path(f"/proc/{self.reader}/task/{self.reader}/children")
            child = wait_until(children.read_text, what="the reader to fork")
            os.kill(int(str(child)), signal.SIGKILL)
            self.reader = 0
        return super().read(size)


@pytest.mark.usefixtures("no_processes")
def test_a_file_is_read_again_when_its_decoder_process_is_killed() -> None:
    sandbox.read_image(PNG)
    (reader,) = sandbox._idle
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200), np.uint8)
    file = KillsItsDecoderOnce(encoded(Image.fromarray(noise)))
    file.reader = reader.pid
    np.testing.assert_array_equal(sandbox.read_image(file).pixels, noise)
    assert reader.poll() is not None


@pytest.mark.usefixtures("no_processes")
def test_a_decoder_process_that_cannot_start_is_not_reported_as_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "COMMAND", [sys.executable, "-c", "import nothing_of_this_name"])
    with pytest.raises(RuntimeError, match=r"Run `python -m ml.data.decoder_process` to see the reason"):
        sandbox.read_image(PNG)


@pytest.mark.usefixtures("no_processes")
def test_concurrent_reads_share_two_decoder_processes() -> None:
    pictures = [draw_bone(seed=seed) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        read = list(pool.map(lambda picture: sandbox.read_image(encoded(Image.fromarray(picture))), pictures))
    for expected, image in zip(pictures, read, strict=True):
        np.testing.assert_array_equal(image.pixels, expected)
    assert len(sandbox._idle) <= sandbox.MAX_PROCESSES


def test_a_decoder_process_has_no_secrets_and_exits_with_its_parent() -> None:
    code = (
        "import sys; from ml.data import sandbox; sandbox.read_image(sys.stdin.buffer.read());"
        "print(sandbox._idle[0].pid, flush=True); sys.stdout.close(); import time; time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "SECRET_KEY": "known-to-the-portal-alone"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as portal:
        assert portal.stdin is not None and portal.stdout is not None
        portal.stdin.write(PNG)
        portal.stdin.close()
        reader = Path("/proc", portal.stdout.readline().decode().strip())
        assert b"known-to-the-portal-alone" not in (reader / "environ").read_bytes()
        limits = (reader / "limits").read_text()
        assert "Max core file size        0 " in limits
        assert f"Max address space         {2 * 1024**3} " in limits
        portal.kill()
    wait_until(lambda: not reader.exists(), what="the reader to end")
