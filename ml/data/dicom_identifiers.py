"""Digests of the patient and of the study that a DICOM file names, by which images of one patient are recognised."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ml.data.dicom_attributes import Attributes

TAGS = ("PatientID", "StudyInstanceUID")
# What de-identification tools and devices write instead of an identifier: it would make one patient of many.
PLACEHOLDERS = frozenset(
    {
        *("anon", "anonym", "anonymous", "anonymized", "anonymised", "deidentified", "removed", "redacted"),
        *(
            "none",
            "null",
            "nil",
            "na",
            "noid",
            "unknown",
            "unbekannt",
            "inconnu",
            "unspecified",
            "notavailable",
        ),
        *("default", "dummy", "test", "patient", "patientid", "id", "temp", "emergency", "phantom"),
    }
)


@dataclass(frozen=True)
class Identifiers:
    """SHA-256 digests, in hexadecimal; each is empty if the file has no such identifier.

    Attributes:
        patient: Of the Patient ID.
        study: Of the Study Instance UID.
    """

    patient: str = ""
    study: str = ""


def read_identifiers(attributes: Attributes) -> Identifiers:
    """Returns the digests of the identifiers; the identifiers themselves are dropped.

    Identifiers are short, so that a digest can be reversed by trying. Store only a keyed hash of it.
    """
    patient, study = (_digest(attributes.texts(keyword)[0]) for keyword in TAGS)
    return Identifiers(patient, study)


def _digest(value: str) -> str:
    letters = re.sub(r"[\W_]", "", value.casefold())
    # Other placeholders are "-", "0" and "xxx".
    is_repeated = len(letters) > 2 and len(set(letters)) == 1
    if not letters.strip("0") or is_repeated or letters in PLACEHOLDERS:
        return ""
    return hashlib.sha256(value.encode()).hexdigest()
