"""The portal stops on a setting that is wrong or unsafe, and says so in one sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portal import env
from portal.database_settings import database
from portal.storage_settings import storage
from tests.servers import ROOT, SECRET_KEY


def check(tmp_path: Path, command: str = "check", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env={**kept, "CALLUS_DATA_DIR": str(tmp_path / "var"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_starts_with_nothing_set_and_keeps_a_key_of_its_own(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 0
    key_file = tmp_path / "var" / "secret_key"
    key = key_file.read_text()
    assert len(key) >= 50
    assert key_file.stat().st_mode & 0o077 == 0
    assert check(tmp_path).returncode == 0
    assert key_file.read_text() == key


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY is too weak"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY is too weak"),
        ({"PUBLIC_URL": "https://callus.example.org"}, "SECRET_KEY must be set"),
        (
            {"PUBLIC_URL": "https://callus.example.org", "SECRET_KEY": SECRET_KEY, "DEBUG": "1"},
            "DEBUG shows internals",
        ),
        ({"PUBLIC_URL": "callus.example.org"}, "PUBLIC_URL must look like"),
        ({"DEBUG": "perhaps"}, "DEBUG must be true or false"),
        ({"SIGN_UP": "sometimes"}, "SIGN_UP must be one of open, closed"),
        ({"STORAGE_URL": "ftp://files"}, "STORAGE_URL must look like"),
        (
            {"STORAGE_URL": "s3://files?querystring_auth=perhaps"},
            "querystring_auth in STORAGE_URL must be true",
        ),
        (
            {"STORAGE_URL": "s3://files?querystring_expire=soon"},
            "querystring_expire in STORAGE_URL must be a whole",
        ),
        ({"STORAGE_URL": "s3://files?acces_key=x"}, "STORAGE_URL has the unknown option acces_key"),
        ({"DATABASE_URL": "postgres://callus:a/b@c@db:5432/callus"}, "DATABASE_URL must look like"),
        ({"DATABASE_URL": "callus"}, "DATABASE_URL must look like"),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE=/nowhere/key cannot be read"),
        ({"CALLUS_LEASE_SECONDS": "0"}, "CALLUS_LEASE_SECONDS must be a whole number"),
        ({"CALLUS_TRAINING_NICENESS": "20"}, "CALLUS_TRAINING_NICENESS must be at most 19"),
        ({"TIME_ZONE": "Mars/Olympus"}, "TIME_ZONE must be a time zone"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL must look like redis://"),
    ],
)
def test_an_unsafe_or_wrong_value_stops_the_start(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    done = check(tmp_path, **environment)
    assert done.returncode != 0
    assert sentence in done.stderr.splitlines()[-1]


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("too short\n")
    assert "SECRET_KEY is too weak" in check(tmp_path, SECRET_KEY_FILE=str(secret)).stderr
    secret.write_text(SECRET_KEY + "\n")
    assert check(tmp_path, SECRET_KEY_FILE=str(secret)).returncode == 0


def test_options_of_the_storage_have_their_types() -> None:
    options: Any = storage("s3://files?querystring_auth=false&querystring_expire=60&use_ssl=no", Path())[
        "OPTIONS"
    ]
    assert (options["bucket_name"], options["querystring_auth"]) == ("files", False)
    assert (options["querystring_expire"], options["use_ssl"]) == (60, False)


@pytest.mark.parametrize("password", ["a/b@c:d?e#f%41", "simple"])
def test_a_database_password_may_have_any_character(password: str) -> None:
    found = database("postgres://callus@db:5432/callus", password, Path())
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["NAME"]) == (
        "callus",
        password,
        "db",
        "callus",
    )


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "DATABASE_PASSWORD", "EMAIL_PASSWORD", "METRICS_TOKEN", "AWS_SECRET_ACCESS_KEY"]
)
def test_every_secret_can_come_from_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv(name, "")
    assert env.text(name) == "from-a-file"
    read = "".join((ROOT / "portal" / one).read_text() for one in ("settings.py", "storage_settings.py"))
    assert f'env.text("{name}")' in read


def test_an_empty_value_is_the_default(tmp_path: Path) -> None:
    """As docker-compose.yml passes on what is not set."""
    assert (
        check(tmp_path, TIME_ZONE="", EMAIL_FROM="", SIGN_UP="", TOKEN_DAYS="", DATABASE_URL="").returncode
        == 0
    )


def test_cookies_are_limited_to_the_path_of_the_public_address(tmp_path: Path) -> None:
    public = {"PUBLIC_URL": "https://example.org/callus", "SECRET_KEY": SECRET_KEY}
    listed = check(tmp_path, command="diffsettings", **public).stdout
    for name in ("SESSION", "CSRF"):
        assert f"{name}_COOKIE_PATH = '/callus/'" in listed


def test_the_production_profile_passes_djangos_deployment_check(tmp_path: Path) -> None:
    environment = {"PUBLIC_URL": "https://callus.example.org", "SECRET_KEY": SECRET_KEY}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**kept, "CALLUS_DATA_DIR": str(tmp_path / "var"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_is_explained() -> None:
    names = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "portal/settings.py").read_text()))
    assert len(names) > 15
    explained = (ROOT / "docs/settings.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in explained] == []
