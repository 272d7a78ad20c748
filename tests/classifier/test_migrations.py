"""Tables change while they are full: the rows stay, and come out as if they had been made now."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import Portal, postgres_server

FILL = """
from django.core.files.uploadedfile import SimpleUploadedFile
from classifier.models import User
from classifier.services.receive_radiograph import receive_radiograph
from tests.client import png
from tests.ml.drawings import draw_bone
for name in ("alice", "bob"):
    user = User.objects.create_user(name)
    receive_radiograph(owner=user, upload=SimpleUploadedFile(f"{name}.png", png(draw_bone())))
"""
LOOK = """
import json
from django.db import connection
from classifier.models import Prediction
owners = [[row.owner_id, row.radiograph.owner_id] for row in Prediction.objects.select_related("radiograph")]
with connection.cursor() as cursor:
    indexes = {
        name: found["columns"]
        for table in connection.introspection.table_names(cursor) if table.startswith("classifier")
        for name, found in connection.introspection.get_constraints(cursor, table).items() if found["index"]
    }
print(json.dumps([owners, indexes]))
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def portal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Portal]:
    with ExitStack() as stack:
        settings = {}
        if request.param == "postgres":
            settings["DATABASE_URL"] = stack.enter_context(postgres_server()).url
        yield Portal(tmp_path / "var", settings)


def shell(portal: Portal, code: str) -> str:
    return portal.manage("shell", "--no-imports", "-c", code).strip()


def test_predictions_made_before_they_knew_their_owner_learn_it(portal: Portal) -> None:
    portal.manage("prepare")
    shell(portal, FILL)
    owners, indexes = json.loads(shell(portal, LOOK))
    assert len(owners) == 2

    portal.manage("migrate", "classifier", "0003")
    portal.manage("migrate")

    assert json.loads(shell(portal, LOOK)) == [owners, indexes]
    assert all(owner == of_radiograph for owner, of_radiograph in owners)
    assert {"radiograph_own", "prediction_search"} <= set(indexes)
