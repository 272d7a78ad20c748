"""Kinds of DICOM files."""

from __future__ import annotations

from tests.intake_dicom_files import FILE_CASES
from tests.intake_dicom_pixels import PIXEL_CASES

DICOM_CASES = [*FILE_CASES, *PIXEL_CASES]
