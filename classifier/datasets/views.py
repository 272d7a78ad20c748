"""Data set versions: made from a zip or from reviews, and what the audit found in them."""

import hashlib
import io
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from classifier.core.pages import form_page, poll
from classifier.core.pagination import numbered_page
from classifier.core.permissions import TRAIN, VIEW
from classifier.core.pictures import picture
from classifier.core.queued_work import ahead_of
from classifier.core.requests import UserRequest, may, wants_json
from classifier.datasets import archives
from classifier.datasets.forms import DatasetFromReviewsForm, DatasetUploadForm
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import USED, WITHOUT_KIND
from classifier.datasets.services import (
    request_dataset_from_reviews,
    request_dataset_from_zip,
)
from classifier.datasets.split_preview import SplitPreview, preview_split
from ml.data import images, sandbox
from ml.data.manifests import SPLITS

log = logging.getLogger(__name__)
MOST_LISTED = 50
THUMBNAIL_SIDE = 192

# What the audit reports, by its name there.
FINDINGS = (
    ("unreadable", "Files that cannot be read", "They are left out."),
    (
        "conflicts",
        "Copies under different labels",
        "All are left out, because the correct label is unknown. Test images of the earlier data set stay.",
    ),
    ("exact_duplicates", "Exact copies", "They are kept in the same part of the split."),
    (
        "near_duplicates",
        "Near copies",
        "Resized, cropped or re-encoded copies. They are kept in the same part of the split.",
    ),
    (
        "mixed_groups",
        "Views of one source with different labels",
        "They are kept in the same part of the split, because several views may show different fractures.",
    ),
    ("ignored", "Files that are not images", "They are ignored."),
)


@dataclass(frozen=True)
class Finding:
    title: str
    text: str
    entries: list[Any]

    @property
    def rows(self) -> list[str]:
        """The first entries, each as one line."""
        return [_in_words(entry) for entry in self.entries[:MOST_LISTED]]


def _in_words(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, dict) and "reason" in entry:
        return f"{entry['path']}: {entry['reason']}"
    if isinstance(entry, dict) and "first" in entry:
        return f"{entry['first']} = {entry['second']}"
    if isinstance(entry, dict):
        return str(entry.get("path", entry))
    return " = ".join(_in_words(each) for each in entry)


@may(VIEW)
@require_safe
def overview(request: UserRequest) -> HttpResponse:
    newest = DatasetVersion.objects.newest_first().select_related("created_by").defer("report", "samples")
    return render(request, "datasets/dataset_list.html", numbered_page(request, newest))


@may(TRAIN)
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: UserRequest) -> HttpResponse:
    def receive(file: "UploadedFile[Any]", **options: Any) -> DatasetVersion:
        return request_dataset_from_zip(user=request.user, upload=file, **options)

    def done(dataset: DatasetVersion) -> HttpResponse:
        where = reverse("dataset_version", args=[dataset.pk])
        return JsonResponse({"location": where}, status=201) if wants_json(request) else redirect(where)

    max_bytes = settings.DATASET_MAX_BYTES
    return form_page(
        request,
        DatasetUploadForm,
        receive,
        done,
        "datasets/dataset_upload.html",
        lambda form: {"max_bytes": max_bytes, "max_megabytes": max_bytes // 1024**2},
        errors_at="file",
    )


@may(TRAIN)
@require_http_methods(["GET", "HEAD", "POST"])
def from_reviews(request: UserRequest) -> HttpResponse:
    return form_page(
        request,
        partial(DatasetFromReviewsForm, initial={"parent": request.GET.get("parent")}),
        partial(request_dataset_from_reviews, user=request.user),
        lambda dataset: redirect("dataset_version", dataset.pk),
        "datasets/dataset_from_reviews.html",
        lambda form: _preview_facts(request),
    )


def _preview_facts(request: UserRequest) -> dict[str, Any]:
    """Returns the preview for the chosen data set, or for the newest one."""
    chosen = (request.POST or request.GET).get("parent", "")
    ready = DatasetVersion.objects.succeeded().defer("report", "samples")
    parent = ready.filter(pk=chosen).first() if chosen.isdecimal() and len(chosen) < 10 else None
    parent = parent or ready.newest()
    if parent is None:
        return {"preview": None}
    try:
        preview: SplitPreview = preview_split(parent)
    except OSError:
        log.exception("The manifest of a data set cannot be read")
        return {"preview": None}
    counts = preview.counts
    return {
        "preview": preview,
        "num_reviewed": sum(counts.values()),
        "num_with_kind": counts[USED],
        "num_without_kind": counts.get(WITHOUT_KIND, 0),
        "left_out": [(name, number) for name, number in counts.items() if name not in (USED, WITHOUT_KIND)],
    }


@may(VIEW)
@require_safe
def show(request: UserRequest, dataset_id: int) -> HttpResponse:
    return render(request, "datasets/dataset_detail.html", _facts(dataset_id))


@may(VIEW)
@require_safe
def progress(request: UserRequest, dataset_id: int) -> HttpResponse:
    return poll(request, "datasets/_dataset.html", _facts(dataset_id))


@may(VIEW)
@require_safe
def image(request: UserRequest, dataset_id: int) -> HttpResponseBase:
    """A small picture of one of its images (?path=...): decoded and encoded anew, as nobody checked the file."""
    dataset = get_object_or_404(DatasetVersion.objects.succeeded(), id=dataset_id)
    path = request.GET.get("path", "")

    def thumbnail() -> Any:
        try:
            content = archives.read_image(dataset, path)
            pixels = sandbox.read_image(content).pixels
            return io.BytesIO(images.encode_thumbnail(pixels, THUMBNAIL_SIDE))
        except (KeyError, images.ImageRefused) as error:
            raise Http404 from error
        except archives.ArchiveDamaged as error:
            log.exception("A picture of a data set cannot be read")
            raise Http404 from error

    name = hashlib.sha256(path.encode()).hexdigest()[:16]
    return picture(request, thumbnail, f"{dataset.checksum}-{name}", f"{name}.jpg", "image/jpeg")


def _facts(dataset_id: int) -> dict[str, Any]:
    related = DatasetVersion.objects.select_related("created_by", "parent")
    dataset = get_object_or_404(related.defer("parent__report", "parent__samples"), id=dataset_id)
    report = dataset.report
    largest = max((row["all"] for row in dataset.class_balance), default=1)
    return {
        "dataset": dataset,
        "ahead": ahead_of(dataset),
        "seen": f"{dataset.state}-{dataset.phase}-{dataset.step}",
        "report": report,
        "balance": [_bar(row, largest) for row in dataset.class_balance],
        "findings": [
            Finding(title, text, report.get(name) or []) for name, title, text in FINDINGS if report.get(name)
        ],
        "most_listed": MOST_LISTED,
        "runs": dataset.runs.order_by("-id").only("id", "state", "recipe", "dataset_version")[:MOST_LISTED],
    }


def _bar(row: dict[str, Any], largest: int) -> dict[str, Any]:
    """The row with where its three parts begin and how wide they are, as SVG lengths."""
    start, parts = 0.0, []
    for split in SPLITS:
        width = 100 * row.get(split, 0) / max(largest, 1)
        parts.append({"split": split, "start": f"{start:.2f}%", "width": f"{width:.2f}%"})
        start += width
    return {**row, "parts": parts}
