"""Writes medical images that are not bone X-rays, on which `fit-recognition` fits its boundary.

    pip download --no-deps --no-binary totalsegmentator totalsegmentator==2.18.0
    pip download --no-deps totalsegmentator==2.18.0 pydicom-data==1.0.0 scikit-image==0.26.0
    pip download --no-deps --no-binary pyradiomics pyradiomics==3.0.1
    python -m benchmarks.other_medical_images PACKAGES FOLDER

PACKAGES is the folder of the downloaded files. The images are slices of CT, MR and ultrasound, scintigrams,
microscopy, and X-ray projections of the chest, the trunk and the skull that are computed from CT. The name of each file
starts with its source and a hyphen. Takes three minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import gzip
import io
import re
import tarfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_files
from scipy import ndimage

Array = NDArray[np.float32]
# Hounsfield units (lowest, highest) of the windows.
WINDOWS = {"bone": (-450, 1050), "soft": (-160, 240), "lung": (-1350, 150)}
PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
NIFTI_TYPES = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 512: "<u2"}
NRRD_TYPES = {"short": "<i2", "int16": "<i2", "int": "<i4", "float": "<f4", "double": "<f8"}
KINDS = {
    "CT": "ct_slice",
    "MR": "mr_slice",
    "US": "ultrasound",
    "NM": "other_medical",
    "SEG": "other_medical",
}
MICROSCOPY = ("cell.png", "ihc.png", "microaneurysms.png", "retina.jpg")


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (right, back, up), and the distance of neighbouring voxels on each axis in millimetres."""

    voxels: Array
    spacing: NDArray[np.float64]

    @classmethod
    def from_nifti(cls, content: bytes) -> Volume:
        raw = gzip.decompress(content)
        sizes, (kind,) = np.frombuffer(raw[40:56], "<i2"), np.frombuffer(raw[70:72], "<i2")
        spacing, (start, slope, intercept) = (
            np.frombuffer(raw[80:92], "<f4"),
            np.frombuffer(raw[108:120], "<f4"),
        )
        voxels = np.frombuffer(raw, NIFTI_TYPES[int(kind)], int(sizes[1:4].prod()), int(start))
        voxels = voxels.reshape(sizes[1:4], order="F").astype(np.float32)
        return cls(voxels * slope + intercept if slope else voxels, spacing.astype(np.float64))

    @classmethod
    def from_nrrd(cls, content: bytes) -> Volume:
        header, _, body = content.partition(b"\n\n")
        fields = dict(re.findall(r"^([^#\n:]+): *(.*)$", header.decode("latin1"), re.MULTILINE))
        sizes = [int(size) for size in fields["sizes"].split()]
        vectors = re.findall(r"\(([^)]*)\)", fields["space directions"])
        spacing = [np.linalg.norm([float(part) for part in vector.split(",")]) for vector in vectors]
        body = gzip.decompress(body) if fields["encoding"].startswith("gz") else body
        voxels = np.frombuffer(body, NRRD_TYPES[fields["type"]], int(np.prod(sizes)))
        return cls(voxels.reshape(sizes, order="F").astype(np.float32), np.array(spacing))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", type=Path, metavar="PACKAGES")
    parser.add_argument("out", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="pydicom")
    packages, out = options.packages, options.out

    def downloaded(pattern: str) -> Path:
        return sorted(packages.glob(pattern))[0]

    segmentator, radiomics = downloaded("totalsegmentator-*.tar.gz"), downloaded("pyradiomics-*.tar.gz")
    with zipfile.ZipFile(downloaded("totalsegmentator-*.whl")) as wheel:
        atlas = Volume.from_nifti(wheel.read("totalsegmentator/resources/ct_brain_atlas_1mm.nii.gz"))
    # The atlas has no air around the head, and its bone is fainter than that of a patient.
    skull = Volume(np.where(atlas.voxels <= 5, -1000, 2 * atlas.voxels).astype(np.float32), atlas.spacing)
    body = Volume.from_nifti(_member(segmentator, "aorta_report/example_ct.nii.gz"))
    small = Volume.from_nifti(_member(segmentator, "reference_files/example_ct.nii.gz"))
    abdomen = Volume.from_nifti(_member(segmentator, "example_mr_sm.nii.gz"))
    lungs = {name: Volume.from_nrrd(_member(radiomics, f"{name}_image.nrrd")) for name in ("lung1", "lung2")}
    brains = {
        name: Volume.from_nrrd(_member(radiomics, f"{name}_image.nrrd")) for name in ("brain1", "brain2")
    }

    for name, volume in {"body": body, "small": small, **lungs, "skull": skull}.items():
        save_slices(out / "ct_slice", name, volume, np.linspace(0.15, 0.85, 6), WINDOWS)
    for name, volume in {"abdomen": abdomen, **brains}.items():
        lowest, highest = np.percentile(volume.voxels, [1, 99.5])
        save_slices(
            out / "mr_slice",
            name,
            volume,
            np.linspace(0.25, 0.75, 5),
            {"grey": (float(lowest), float(highest))},
        )
    for kind, volumes in {
        "chest_projection": lungs,
        "trunk_projection": {"body": body, "small": small},
        "skull_projection": {"skull": skull},
    }.items():
        for name, volume in volumes.items():
            save_projections(out / kind, name, volume)
    save_dicom(out, downloaded("pydicom_data-*.whl"))
    with zipfile.ZipFile(downloaded("scikit_image-*.whl")) as wheel:
        for name in MICROSCOPY:
            image = Image.open(io.BytesIO(wheel.read(f"skimage/data/{name}"))).convert("L")
            _save(out / "other_medical", f"skimage-{Path(name).stem}", np.asarray(image, np.float32))
    for folder in sorted(out.iterdir()):
        print(folder.name, len(list(folder.iterdir())))


def save_slices(
    folder: Path,
    name: str,
    volume: Volume,
    places: NDArray[np.float64],
    windows: dict[str, tuple[float, float]],
) -> None:
    """Saves slices of a volume in three planes, each in every window."""
    for plane, (across, up, through) in PLANES.items():
        for number, place in enumerate(places):
            cut = np.take(volume.voxels, int(place * volume.voxels.shape[through]), axis=through)
            for window, span in windows.items():
                upright = _upright(_window(cut, *span), volume.spacing[across], volume.spacing[up], 512)
                _save(folder, f"{name}-{plane}-{number}-{window}", upright)


def save_projections(folder: Path, name: str, volume: Volume, count: int = 12) -> None:
    """Saves parallel projections of the attenuation, slightly turned: two frontal ones to each lateral one."""
    random = np.random.default_rng(len(name))
    step = 2 if volume.voxels.shape[0] > 300 else 1
    spacing = volume.spacing * (step, step, 1)
    attenuation = np.clip(1 + volume.voxels[::step, ::step] / 1000, 0, None)
    # Bone attenuates more than its Hounsfield units at the energies of CT say.
    attenuation = np.where(attenuation > 1.15, 1.6 * attenuation, attenuation)
    for number in range(count):
        along, across = (0, 1) if number % 3 == 2 else (1, 0)
        turned = ndimage.rotate(attenuation, random.uniform(-8, 8), axes=(0, 1), reshape=False, order=1)
        path = turned.sum(axis=along) * spacing[along]
        exposed = 1 - np.exp(-0.02 * random.uniform(0.5, 1.1) * path)
        span = np.percentile(exposed, [random.uniform(1, 15), random.uniform(97, 99.8)])
        side = int(random.integers(400, 900))
        _save(
            folder,
            f"{name}-{number}-{'lateral' if along == 0 else 'frontal'}",
            _upright(_window(exposed, *span), spacing[across], spacing[2], side),
        )


def save_dicom(out: Path, wheel_path: Path) -> None:
    """Saves up to three frames of each CT, MR, ultrasound, scintigram and segmentation of pydicom's test data."""
    files = {Path(path).stem: Path(path).read_bytes() for path in get_testdata_files("*.dcm")}
    with zipfile.ZipFile(wheel_path) as wheel:
        files |= {Path(name).stem: wheel.read(name) for name in wheel.namelist() if name.endswith(".dcm")}
    seen = set()
    for name, content in sorted(files.items()):
        try:
            dataset = pydicom.dcmread(io.BytesIO(content), force=True)
            kind = KINDS.get(str(dataset.get("Modality")))
            if kind is None or "PixelData" not in dataset:
                continue
            pixels = dataset.pixel_array
        except (AttributeError, RuntimeError, ValueError, NotImplementedError):
            # The test data contains damaged files on purpose.
            continue
        frames = pixels if int(dataset.get("NumberOfFrames") or 1) > 1 else pixels[np.newaxis]
        for number, frame in enumerate(frames[:3]):
            grey = frame.astype(np.float32)
            grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
            lowest, highest = np.percentile(grey, [0.5, 99.5])
            if grey.ndim != 2 or highest <= lowest or grey.tobytes() in seen:
                continue
            seen.add(grey.tobytes())
            enlarged = Image.fromarray(_window(grey, lowest, highest))
            factor = 4 if min(enlarged.size) < 128 else 1
            size = (enlarged.width * factor, enlarged.height * factor)
            _save(out / kind, f"pydicom-{name}-{number}", np.asarray(enlarged.resize(size)))


def _member(archive: Path, suffix: str) -> bytes:
    with tarfile.open(archive) as files:
        for member in files:
            if member.name.endswith(suffix) and (content := files.extractfile(member)):
                return content.read()
    raise FileNotFoundError(f"{archive} has no {suffix}")


def _window(values: NDArray[np.floating], lowest: float, highest: float) -> Array:
    return np.asarray(np.clip((values - lowest) / (highest - lowest), 0, 1) * 255, np.float32)


def _upright(plane: Array, spacing_across: float, spacing_up: float, side: int) -> Array:
    """Returns a plane (across, up) as an image (down, across) with square pixels, `side` pixels long."""
    image = Image.fromarray(np.ascontiguousarray(np.flipud(plane.T)))
    width, height = plane.shape[0] * spacing_across, plane.shape[1] * spacing_up
    factor = side / max(width, height)
    size = (max(32, round(width * factor)), max(32, round(height * factor)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def _save(folder: Path, name: str, grey: Array) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
