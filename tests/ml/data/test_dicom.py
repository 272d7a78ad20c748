"""DICOM files are windowed, refused unless they are one X-ray, and their attributes are never quoted."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from tests.ml.compressed import compress
from tests.ml.drawings import draw_bone

PATIENT = "Secret^Name"
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def dicom(pixels: np.ndarray[Any, Any] | None = RAMP, **changes: Any) -> bytes:
    """Returns a computed radiograph with 12 bits stored; `changes` set elements, or remove them with None."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = changes.pop("transfer_syntax", ExplicitVRLittleEndian)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.Modality = PATIENT, "4711", "CR"
    if pixels is not None:
        signed = bool(pixels.dtype.kind == "i")
        data.Rows, data.Columns = pixels.shape[-2:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = 8 * pixels.dtype.itemsize
        data.BitsStored = 12 if data.BitsAllocated == 16 else 8
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(signed)
        data.PixelData = pixels.tobytes()
    for name, value in changes.items():
        setattr(data, name, value)
    if data.file_meta.TransferSyntaxUID == RLELossless:
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.compress(RLELossless)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def lookup_table(descriptor: list[int], entries: np.ndarray[Any, Any]) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return [item]


def test_the_window_is_applied() -> None:
    image = read_image(dicom(WindowCenter=1000, WindowWidth=1001))
    assert image.format == "dicom"
    # PS3.3 C.11.2.1.2.1: (x - (c - 0.5)) / (w - 1) + 0.5
    expected = np.clip((RAMP.astype(float) - 999.5) / 1000 + 0.5, 0, 1) * 255
    np.testing.assert_allclose(image.pixels, expected, atol=0.51)


def test_monochrome1_is_inverted() -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    plain = read_image(dicom(**window)).pixels
    inverted = read_image(dicom(PhotometricInterpretation="MONOCHROME1", **window)).pixels
    np.testing.assert_allclose(inverted, 255 - plain.astype(int), atol=1)


def test_rescale_comes_before_the_window() -> None:
    rescaled = dicom(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=2001)
    np.testing.assert_array_equal(
        read_image(rescaled).pixels, read_image(dicom(WindowCenter=1000.25, WindowWidth=1001)).pixels
    )


def test_signed_values_keep_their_order() -> None:
    pixels = read_image(dicom(RAMP.astype(np.int16) - 2048)).pixels
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_voi_lookup_table_is_applied() -> None:
    entries = np.arange(4096)[::-1] * 16
    image = read_image(dicom(VOILUTSequence=lookup_table([4096, 0, 16], entries)))
    np.testing.assert_allclose(image.pixels.ravel(), entries / 65535 * 255, atol=0.51)


def test_a_modality_lookup_table_is_applied() -> None:
    entries = np.where(np.arange(4096) < 2048, 0, 60000)
    sequence = lookup_table([4096, 0, 16], entries)
    sequence[0].ModalityLUTType = "OD"
    pixels = read_image(dicom(ModalityLUTSequence=sequence)).pixels.ravel()
    assert set(pixels[:2048]) == {0}
    assert set(pixels[2048:]) == {255}


def test_without_a_window_the_range_of_the_values_without_padding_is_stretched() -> None:
    pixels = (RAMP // 4 + 1000).astype(np.uint16)
    pixels[0, :] = 0
    image = read_image(dicom(pixels, PixelPaddingValue=0))
    assert image.pixels[1].min() < 10
    assert image.pixels.max() == 255


def test_bytes_after_the_pixels_are_ignored() -> None:
    np.testing.assert_array_equal(
        read_image(dicom(PixelData=RAMP.tobytes() * 3)).pixels, read_image(dicom()).pixels
    )


def test_bits_above_bits_stored_are_ignored() -> None:
    """Old devices store overlays, such as the patient's name, in the bits above Bits Stored."""
    drawn = RAMP | (np.indices(RAMP.shape).sum(axis=0) % 16 << 12).astype(np.uint16)
    np.testing.assert_array_equal(read_image(dicom(drawn)).pixels, read_image(dicom()).pixels)


def test_eight_bits_without_a_window_are_not_changed() -> None:
    bone = draw_bone()
    np.testing.assert_array_equal(read_image(dicom(bone)).pixels, bone)


def test_run_length_encoded_pixels_are_read() -> None:
    np.testing.assert_array_equal(
        read_image(dicom(transfer_syntax=RLELossless)).pixels, read_image(dicom()).pixels
    )


@pytest.mark.parametrize("name", ["RG1_J2KI", "RG3_J2KI", "RG3_J2KR", "mlut_18", "vlut_04"])
def test_real_files_are_read(shared: Path, name: str) -> None:
    pixels = read_image(shared / f"data/dicom/{name}.dcm").pixels
    assert pixels.ndim == 2
    assert pixels.max() - pixels.min() > 200


def test_bone_is_brighter_than_air_in_a_real_monochrome1_file(shared: Path) -> None:
    pixels = read_image(shared / "data/dicom/RG3_J2KR.dcm").pixels
    assert pixels[350:700, 830:910].mean() > pixels[350:700, 520:580].mean() + 50


@pytest.mark.parametrize("name", ["CT_small", "MR_small", "JPGLosslessP14SV1_1s_1f_8b"])
def test_real_files_of_other_modalities_are_refused(shared: Path, name: str) -> None:
    with pytest.raises(ImageRefused, match="not an X-ray of a bone"):
        read_image(shared / f"data/dicom/{name}.dcm")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(dicom(Modality="CT"), "its modality is CT", id="CT"),
        pytest.param(dicom(Modality=""), "its modality is not stated", id="no modality"),
        pytest.param(dicom(Modality="MEIER"), "its modality is unknown", id="a name as modality"),
        pytest.param(dicom(None), "contains no image", id="no pixels"),
        pytest.param(dicom(BurnedInAnnotation="YES"), "declares burned-in annotations", id="burned-in name"),
        pytest.param(
            dicom(PhotometricInterpretation="PALETTE COLOR"), "colour format of the DICOM file", id="palette"
        ),
        pytest.param(
            dicom(PhotometricInterpretation="RGB"), "colour format of the DICOM file", id="grey called colour"
        ),
        pytest.param(
            dicom(SamplesPerPixel=3, PhotometricInterpretation="RGB"),
            "16 bits per sample; 8 are supported, and 16 in greyscale",
            id="colour of 16 bits",
        ),
        pytest.param(dicom(BitsAllocated=32), "32 bits per sample", id="32 bits"),
        pytest.param(dicom(np.stack([RAMP, RAMP]), NumberOfFrames=2), "several frames", id="two frames"),
        pytest.param(dicom(Rows=50_000, Columns=50_000), "50000 x 50000 pixels", id="too many pixels"),
        pytest.param(
            dicom(transfer_syntax=DeflatedExplicitVRLittleEndian), "is deflated", id="deflated as a whole"
        ),
        pytest.param(dicom()[:-500], "is cut off: its end is missing", id="cut off"),
        pytest.param(dicom()[:140], "is cut off: its end is missing", id="cut off in the header"),
    ],
)
def test_other_files_than_single_xrays_are_refused_in_one_sentence(
    data: bytes, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ImageRefused, match=sentence) as refusal:
        read_image(data)
    assert PATIENT not in str(refusal.value) + caplog.text
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_a_compressed_stream_of_another_size_than_its_header_says_is_refused() -> None:
    data = bytearray(compress(dicom(draw_bone()), "jpeg lossless"))
    marker = data.index(b"\xff\xc3")
    data[marker + 5 : marker + 7] = (100).to_bytes(2)
    with pytest.raises(ImageRefused, match="differ in size"):
        read_image(bytes(data))


def test_an_unknown_kind_of_compressed_stream_is_refused() -> None:
    data = compress(dicom(draw_bone()), "jpeg lossless").replace(b"\xff\xd8\xff", b"\xff\xd7\xff")
    with pytest.raises(ImageRefused, match="cut off or damaged"):
        read_image(data)


def test_an_unsupported_compression_is_refused() -> None:
    retired = compress(dicom(draw_bone()), "jpeg lossless").replace(b"1.2.4.70", b"1.2.4.52")
    with pytest.raises(ImageRefused, match="compression of the DICOM file is not supported"):
        read_image(retired)


def test_a_compressed_stream_larger_than_its_header_says_is_refused(shared: Path) -> None:
    data = bytearray((shared / "data/dicom/RG3_J2KR.dcm").read_bytes())
    stream = data.index(b"\xff\x4f\xff\x51")
    data[stream + 8 : stream + 16] = (50_000).to_bytes(4) * 2
    with pytest.raises(ImageRefused, match="50000 x 50000 pixels"):
        read_image(bytes(data))
