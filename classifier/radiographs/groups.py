"""Groups of X-rays of one patient or study, which stay on one side of each split."""

from collections.abc import Iterable
from typing import Any

from django.utils.crypto import salted_hmac

from ml.data.groups import connected_components


def keyed_hash(kind: str, digest: str) -> str | None:
    """Returns a digest of ml.data.dicom_identifiers as it is stored: only who has SECRET_KEY can test a guess.

    Args:
        kind: "patient" or "study".
        digest: the digest; empty if the file has no such identifier.
    """
    if not digest:
        return None
    return salted_hmac(f"classifier.radiographs.{kind}", digest, algorithm="sha256").hexdigest()


def group_names(rows: Iterable[tuple[Any, str | None, str | None]]) -> dict[Any, str]:
    """Returns the name of each radiograph's group, by the radiograph's id.

    Two radiographs with the same patient, or with the same study, are in one group, also through others. One of an
    unknown patient and study is alone in its group: who uploaded it, and when, does not matter.

    Args:
        rows: id, patient hash and study hash of each radiograph.
    """
    known = sorted(rows, key=lambda row: str(row[0]))
    links = []
    for column in (1, 2):
        first: dict[str, int] = {}
        for index, row in enumerate(known):
            value = row[column]
            if value is not None:
                links.append((first.setdefault(value, index), index))
    return {
        known[index][0]: f"reviewed-{known[members[0]][0]}"
        for members in connected_components(len(known), links)
        for index in members
    }
