"""The Kubernetes manifests: rendered by kustomize where kubectl is installed, checked against the published schemas
by kubernetes-validate (both need no cluster and no network), and against themselves."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.servers import ROOT

FOLDER = ROOT / "deploy/kubernetes"
KUBERNETES = "1.31"
OURS = {"web", "predict", "train", "beat", "prepare"}


def manifests() -> list[dict[str, Any]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.safe_load_all((FOLDER / name).read_text())]


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in manifests() if one["kind"] in kinds}


def containers() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name, workload in of_kind("Deployment", "Job").items():
        pod = workload["spec"]["template"]["spec"]
        for container in pod["containers"]:
            yield name, pod, container


def test_every_file_is_part_of_it() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert set(listed) == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}


def test_kustomize_renders_it() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: that kustomize renders the manifests is NOT tested")
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    assert len(rendered) == len(manifests())
    assert all(one["metadata"].get("namespace") == "callus" for one in rendered if one["kind"] != "Namespace")


def test_it_fits_the_published_schemas() -> None:
    for one in manifests():
        if "keda.sh" not in one["apiVersion"]:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_it_is_the_same_set_of_processes_as_docker_compose() -> None:
    assert {name for name, _, _ in containers()} == OURS
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, _, container in containers():
        assert " ".join(container["command"]) == compose[name]["command"]


def test_selectors_find_the_pods_they_mean() -> None:
    labels = {
        name: workload["spec"]["template"]["metadata"]["labels"]
        for name, workload in of_kind("Deployment").items()
    }
    for name, workload in of_kind("Deployment").items():
        assert workload["spec"]["selector"]["matchLabels"] == labels[name]
    assert of_kind("Service")["web"]["spec"]["selector"] == labels["web"]
    assert of_kind("PodDisruptionBudget")["web"]["spec"]["selector"]["matchLabels"] == labels["web"]
    assert (
        of_kind("Ingress")["web"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
        == "web"
    )


def test_what_pods_refer_to_exists() -> None:
    claims = of_kind("PersistentVolumeClaim")
    for _, pod, container in containers():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] in claims
        assert {"configMapRef": {"name": "callus"}} in container["envFrom"]
        assert {"secretRef": {"name": "callus"}} in container["envFrom"]
    explained = (ROOT / "docs/settings.md").read_text()
    assert all(f"`{name}`" in explained for name in of_kind("ConfigMap")["callus"]["data"])


def test_pods_have_no_rights_to_gain() -> None:
    for _, pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_prediction_workers_follow_the_queue_and_there_is_one_beat() -> None:
    scaled = of_kind("ScaledObject")["predict"]["spec"]
    predict = of_kind("Deployment")[scaled["scaleTargetRef"]["name"]]["spec"]
    assert "replicas" not in predict, "two would argue about the number"
    trigger = scaled["triggers"][0]
    assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
    beat = of_kind("Deployment")["beat"]["spec"]
    assert (beat["replicas"], beat["strategy"]["type"]) == (1, "Recreate")


@pytest.mark.django_db
def test_the_question_that_scales_the_workers_is_one_that_the_database_answers() -> None:
    from django.db import connection

    query = of_kind("ScaledObject")["predict"]["spec"]["triggers"][0]["metadata"]["query"]
    assert re.match(r"SELECT COUNT\(\*\) FROM ", query)
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchone() == (0,)
