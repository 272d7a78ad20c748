"""What was backed up is restored, row by row and file by file, on either database.

Each process takes seconds to start, so several commands share one where what is tested is not the command line.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client import Client, png
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, Portal, postgres_server

FILL = """
from django.contrib.auth.models import Group, Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from classifier.core.models import User
from classifier.radiographs.models import Prediction
from classifier.radiographs.services import receive_radiograph
from tests.client import png
from tests.ml.drawings import draw_bone

readers = Group.objects.create(name="readers")
readers.permissions.add(*Permission.objects.all()[:3])
for name in ("alice", "bob"):
    user = User.objects.create_user(name, f"{name}@example.org", "correct-horse-battery", first_name="Zoë")
    user.groups.add(readers)
    for seed in range(3):
        receive_radiograph(owner=user, upload=SimpleUploadedFile("wrist é.png", png(draw_bone(seed=seed))))
Prediction.objects.update(state="succeeded", finished_at=timezone.now(),
    confidence=0.1 + 0.2, probabilities=[{"class": "Spiral Fracture", "probability": 1 / 3}])
User.objects.get(username="alice").radiographs.first().predictions.update(state="queued")
"""

ROWS = """
import json
from portal.operations import backup
rows = {m._meta.label_lower: list(m._base_manager.order_by("pk").values()) for m in backup.included_models()}
print(json.dumps(rows, sort_keys=True, cls=backup.ExactEncoder))
"""


Rows = dict[str, list[dict[str, object]]]
CALL = "from django.core.management import call_command"


def shell(portal: Portal, code: str) -> str:
    return portal.manage("shell", "--no-imports", "-c", code)


def rows(portal: Portal, *first: str) -> Rows:
    """All rows of the portal, after the commands that come first, such as "call_command('prepare')"."""
    lines = shell(portal, "\n".join([CALL, *first, ROWS])).splitlines()
    return dict(json.loads(lines[-1]))


def restore(file: Path) -> str:
    return f"call_command('restore', {str(file)!r})"


def files(portal: Portal) -> dict[str, str]:
    folder = portal.data_dir / "files"
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found
    }


def refusal(portal: Portal, file: Path) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "restore", str(file)],
        cwd=ROOT,
        env=portal.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Portal:
    """A portal on SQLite with people, X-rays and answers."""
    portal = Portal(tmp_path_factory.mktemp("origin") / "var")
    shell(portal, f"{CALL}\ncall_command('prepare')\n{FILL}")
    return portal


@pytest.fixture(scope="module")
def origin_rows(origin: Portal) -> Rows:
    return rows(origin)


@pytest.fixture(scope="module")
def backup(origin: Portal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "callus.zip"
    origin.manage("backup", str(file))
    return file


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Portal]:
    with ExitStack() as servers:
        environment = {}
        if request.param == "postgres":
            environment["DATABASE_URL"] = servers.enter_context(postgres_server()).url
        yield Portal(tmp_path / "var", environment)


def test_every_row_and_every_file_comes_back(
    origin: Portal, origin_rows: Rows, backup: Path, empty: Portal, tmp_path: Path
) -> None:
    after = rows(empty, restore(backup))
    assert sum(len(table) for table in origin_rows.values()) > 50
    for table, expected in origin_rows.items():
        assert after[table] == expected, table
    assert files(empty) == files(origin)
    assert len(files(origin)) == 6 * 2 + 1

    # It works on: new rows do not meet old numbers, and what was queued is not forgotten.
    again = tmp_path / "again.zip"
    kept = rows(
        empty,
        "from classifier.core.models import User; User.objects.create_user('carol')",
        "call_command('prepare')",
        f"call_command('backup', {str(again)!r})",
    )
    assert len(kept["core.user"]) == len(origin_rows["core.user"]) + 1

    # And back again.
    assert rows(Portal(tmp_path / "third"), restore(again)) == kept


def test_nobody_but_its_owner_can_read_a_backup(backup: Path) -> None:
    assert backup.stat().st_mode & 0o077 == 0


def test_a_backup_is_not_overwritten(origin: Portal, backup: Path) -> None:
    with pytest.raises(AssertionError, match="already exists"):
        origin.manage("backup", str(backup))


def test_a_place_that_is_not_empty_is_refused_and_stays_as_it_is(
    origin: Portal, origin_rows: Rows, backup: Path
) -> None:
    assert "is not empty" in refusal(origin, backup)
    assert rows(origin) == origin_rows


@pytest.mark.parametrize("damage", ["changed", "cut off", "no backup"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(backup: Path, tmp_path: Path, damage: str) -> None:
    damaged, portal = tmp_path / "damaged.zip", Portal(tmp_path / "var")
    if damage == "cut off":
        damaged.write_bytes(backup.read_bytes()[:-1000])
    elif damage == "no backup":
        with zipfile.ZipFile(damaged, "w") as archive:
            archive.writestr("readme.txt", "hello")
    else:
        with zipfile.ZipFile(backup) as before, zipfile.ZipFile(damaged, "w") as after:
            for info in before.infolist():
                content = before.read(info)
                picture = info.filename.endswith(".png")
                after.writestr(info, content[:-1] + b"!" if picture else content)
    sentence = {
        "changed": "The backup is damaged: the checksum of files/",
        "cut off": "is not a backup, or it is incomplete",
        "no backup": "is not a Callus backup",
    }[damage]
    assert sentence in refusal(portal, damaged)
    assert files(portal) == {}
    if damage == "changed":
        portal.manage("restore", str(backup))  # the place is as empty as before


def test_it_is_consistent_while_people_upload_and_delete(tmp_path: Path) -> None:
    portal, file = Portal(tmp_path / "var"), tmp_path / "callus.zip"
    add_alice = "User.objects.create_user('alice', password='correct-horse-battery')"
    shell(portal, f"{CALL}; call_command('prepare')\nfrom classifier.core.models import User; {add_alice}")
    portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
    try:
        portal.wait_until_live()
        alice = Client(portal.url, "alice")
        picture = png(draw_bone(seed=1))
        early = [alice.upload(picture)["id"] for _ in range(5)]
        with ThreadPoolExecutor() as pool:
            saving = pool.submit(portal.manage, "backup", str(file))
            num_during = 0
            while not saving.done():
                alice.upload(picture)
                num_during += 1
            saving.result()
        assert num_during > 0
    finally:
        portal.stop()
    restored = Portal(tmp_path / "restored")
    radiographs = rows(restored, restore(file))["radiographs.radiograph"]
    assert set(early) <= {row["id"] for row in radiographs}
    named = {str(row[name]) for row in radiographs for name in ("image", "thumbnail")}
    assert named == {path for path in files(restored) if not path.startswith("models/")}


def test_no_table_that_names_files_is_forgotten() -> None:
    from django.apps import apps
    from django.db.models import FileField

    from portal.operations.stored_files import FIELDS

    known = {(model, name) for model, names in FIELDS.items() for name in names}
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            assert not isinstance(field, FileField) or (model, field.name) in known
