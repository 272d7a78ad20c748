"""A worker keeps its connection from one answer to the next, and finds a database that was away."""

from pathlib import Path

import psycopg
import pytest

from tests.client import Client, png
from tests.ml.drawings import draw_bone
from tests.servers import Portal, Postgres, postgres_server, redis_server

QUICK = {"CALLUS_LEASE_SECONDS": "4", "CALLUS_SWEEP_SECONDS": "1", "CALLUS_PREDICTION_PROCESSES": "1"}


def connections_of_the_worker(postgres: Postgres) -> set[int]:
    with psycopg.connect(postgres.url) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'the worker'")
        return {pid for (pid,) in found}


@pytest.mark.postgres
@pytest.mark.redis
def test_a_worker_keeps_its_connection_and_outlives_a_restart_of_the_database(tmp_path: Path) -> None:
    with postgres_server() as postgres, redis_server(tmp_path) as redis:
        portal = Portal(tmp_path / "var", {**QUICK, "DATABASE_URL": postgres.url, "REDIS_URL": redis.url})
        try:
            portal.manage("prepare")
            portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
            portal.environment["PGAPPNAME"] = "the worker"
            portal.start("predict", "worker", "predict")
            portal.start("beat", "beat")
            portal.wait_until_live()
            portal.add_users("alice")
            alice = Client(portal.url, "alice")

            def answer(seed: int) -> str:
                sent = alice.upload(png(draw_bone(seed=seed)))
                return str(alice.wait_for_answer(sent["prediction"]["id"])["state"])

            assert answer(1) == "succeeded"
            first = connections_of_the_worker(postgres)
            assert [answer(seed) for seed in (2, 3, 4)] == ["succeeded"] * 3
            assert first & connections_of_the_worker(postgres), "each answer had a connection of its own"

            postgres.stop()
            postgres.start()
            assert answer(5) == "succeeded"
            assert connections_of_the_worker(postgres)
        finally:
            portal.stop()
