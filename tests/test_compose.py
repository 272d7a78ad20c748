"""docker-compose.yml, read by docker-compose itself (which needs no engine for that)."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import ROOT, SECRET_KEY

GIVEN = {
    "PUBLIC_URL": "https://callus.example.org",
    "SECRET_KEY": SECRET_KEY,
    "POSTGRES_PASSWORD": "a-long-word",
}


def compose(folder: Path, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed: docker-compose.yml is NOT checked")
    env_file = folder / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return subprocess.run(
        ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), "--env-file", str(env_file), "config"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    done = compose(tmp_path, GIVEN)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def test_every_documented_setting_is_passed_on() -> None:
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    passed_on = file["x-callus"]["environment"].keys()
    tables = re.findall(r"^\| (`[A-Z_]+`[^|]*)\|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    documented = {name for names in tables for name in re.findall(r"`([A-Z_]+)`", names)}
    assert len(documented) > 25
    # The image sets the folder, each process its role, and DEBUG is refused on a public address.
    assert documented - passed_on == {"CALLUS_DATA_DIR", "CALLUS_ROLE", "DEBUG"}


def test_a_hostile_file_cannot_take_the_memory_of_the_host() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ours = [name for name, service in services.items() if "postgres" not in name and "redis" not in name]
    assert len(ours) == 5
    assert [name for name in ours if "mem_limit" not in services[name]] == []


def test_it_refuses_to_start_without_the_three_values_it_must_be_given(tmp_path: Path) -> None:
    for missing in GIVEN:
        done = compose(tmp_path, {name: value for name, value in GIVEN.items() if name != missing})
        assert done.returncode != 0
        assert f"set {missing} in .env" in done.stderr


def test_it_is_the_same_set_of_processes_that_make_run_starts(services: dict[str, Any]) -> None:
    commands = {name: service.get("command") for name, service in services.items()}
    assert commands["prepare"] == "python manage.py prepare"
    assert commands["web"] == "python manage.py web --bind 0.0.0.0:8000"
    assert commands["predict"] == "python manage.py worker predict"
    assert commands["train"] == "python manage.py worker train"
    assert commands["beat"] == "python manage.py beat"
    assert {"postgres", "redis"} <= commands.keys()


def test_every_part_that_runs_has_a_health_check_and_none_is_reachable_but_the_web(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        assert name == "prepare" or "healthcheck" in service, name
        assert ("ports" in service) == (name == "web")
    assert json.dumps(services["web"]["ports"]).count("127.0.0.1") == 1


def test_our_containers_run_with_no_rights_to_gain(services: dict[str, Any]) -> None:
    for name in ("prepare", "web", "predict", "train", "beat"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "\nUSER callus\n" in dockerfile
