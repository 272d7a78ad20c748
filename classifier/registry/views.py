"""Model versions: which there are, and what is known of each."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from classifier.core import charts
from classifier.core.pagination import numbered_page
from classifier.core.permissions import VIEW
from classifier.core.requests import UserRequest, may
from classifier.registry.learning_curves import charts_of, table_of
from classifier.registry.models import ModelVersion, Promotion

RUN_DETAILS = ("training_run__history", "training_run__log_tail")


@may(VIEW)
@require_safe
def overview(request: UserRequest) -> HttpResponse:
    related = ModelVersion.objects.with_is_live().select_related("training_run", "created_by")
    numbered = numbered_page(request, related.defer(*RUN_DETAILS).newest_first())
    context = {
        **numbered,
        "rows": [(version, _test_figures(version)) for version in numbered["page"]],
        "before": Promotion.objects.before_live(),
    }
    return render(request, "registry/model_list.html", context)


@may(VIEW)
@require_safe
def show(request: UserRequest, number: int) -> HttpResponse:
    related = ModelVersion.objects.with_is_live().select_related(
        "training_run__dataset_version", "training_run__start_version", "created_by"
    )
    slim = related.defer("training_run__dataset_version__report", "training_run__start_version__report")
    version = get_object_or_404(slim, number=number)
    live = ModelVersion.objects.live()
    run = getattr(version, "training_run", None)
    # A recalibration that changed nothing has its own start version as its result.
    made_by = version.recalibrations.exclude(start_version=version)
    recalibration = made_by.select_related("start_version").order_by("-id").first()
    curves = run.curves if run else _curves_of_card(version)
    context = {
        "model": version,
        "run": run,
        "code_version": version.code_version or version.card.get("versions", {}).get("callus"),
        "live": live,
        "recalibration": recalibration,
        # Their networks are the same, so there is nothing to compare.
        "is_recalibrated_from_live": recalibration is not None and recalibration.start_version == live,
        "report": version.report,
        "test": _test_figures(version),
        "matrix": _matrix(version.report),
        "reliability": _reliability(version.report),
        "charts": charts_of(curves),
        "table": table_of(curves),
        "comparison": version.comparisons.filter(live=live).order_by("-id").first() if live else None,
    }
    return render(request, "registry/model_detail.html", context)


@may(VIEW)
@require_safe
def report(request: UserRequest, number: int) -> HttpResponse:
    """All that is known of a version, to be kept elsewhere."""
    version = get_object_or_404(ModelVersion, number=number)
    facts = {
        "number": version.number,
        "checksum": version.checksum,
        "card": version.card,
        "report": version.report,
    }
    headers = {"Content-Disposition": f'attachment; filename="callus-model-{version.number}.json"'}
    return JsonResponse(facts, headers=headers, json_dumps_params={"indent": 1})


def _test_figures(version: ModelVersion) -> dict[str, Any] | None:
    """Figures on the test images with their n and groups: of the report, else of the card."""
    if version.report:
        return {name: version.report[name] for name in ("n", "groups", "figures", "trained_on")}
    on_test = version.card.get("figures", {}).get("test")
    if not on_test:
        return None
    figures = {name: value for name, value in on_test.items() if isinstance(value, dict)}
    return {"n": on_test.get("n"), "groups": on_test.get("groups"), "figures": figures, "trained_on": None}


def _curves_of_card(version: ModelVersion) -> dict[str, dict[str, list[list[float]]]]:
    found: dict[str, list[list[float]]] = {}
    for epoch, metrics in enumerate(version.card.get("training", {}).get("epochs", []), start=1):
        for name, value in metrics.items():
            if isinstance(value, float):
                found.setdefault(name, []).append([epoch, value])
    return {"train": found} if found else {}


def _matrix(report: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each true class: its name, and each count with its shade, from 0 to 5."""
    if not report:
        return []
    rows = []
    for place, (name, counts) in enumerate(zip(report["classes"], report["confusion_matrix"], strict=True)):
        total = max(sum(counts), 1)
        cells = [
            {"count": count, "shade": round(5 * count / total), "is_right": place == column}
            for column, count in enumerate(counts)
        ]
        rows.append({"class": name, "cells": cells, "total": sum(counts)})
    return rows


def _reliability(report: dict[str, Any]) -> charts.Chart | None:
    if not report:
        return None
    series = [
        charts.Series(
            name, [(bin["confidence"], bin["accuracy"]) for bin in report["reliability"][key]], style
        )
        for key, name, style in (("before", "Before calibration", "second"), ("after", "Calibrated", "first"))
    ]
    return charts.reliability("Accuracy", "Confidence", series)
