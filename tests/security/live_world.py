"""The world of these tests behind a real web server; nobody works, so what is queued stays queued."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import Portal

NO_LIMIT = "1000000000"
SETTINGS = {name: NO_LIMIT for name in ("API_READS_PER_MINUTE", "API_WRITES_PER_MINUTE", "UPLOADS_PER_DAY")}
MAKE_WORLD = """
import json
from classifier.registry.models import ModelVersion
from tests.security.world import make_world
world = make_world(ModelVersion.objects.live())
print(json.dumps({"ids": world.ids, "tokens": world.tokens, "spare_tokens": world.spare_tokens}, default=str))
"""


@dataclass(frozen=True)
class LiveWorld:
    url: str
    ids: dict[str, Any]
    tokens: dict[str, str]
    spare_tokens: dict[str, str]


@contextmanager
def running_world(folder: Path) -> Iterator[LiveWorld]:
    portal = Portal(folder, SETTINGS)
    try:
        portal.prepare()
        made = portal.manage("shell", "--no-imports", "-c", MAKE_WORLD)
        portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        portal.wait_until_live()
        yield LiveWorld(url=portal.url, **json.loads(made.splitlines()[-1]))
    finally:
        portal.stop()
