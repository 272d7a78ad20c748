import signal
from pathlib import Path

from tests.client import Client, large_xray, png
from tests.ml.drawings import draw_bone
from tests.servers import Portal, redis_server, wait_until

QUICK = {"CALLUS_LEASE_SECONDS": "10", "CALLUS_SWEEP_SECONDS": "1"}


def test_redis_down_delays_answers_but_neither_blocks_nor_fails_an_upload_nor_ends_a_worker(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path) as redis:
        portal = Portal(tmp_path / "var", {**QUICK, "REDIS_URL": redis.url})
        try:
            portal.start_set()
            portal.add_users("alice")
            alice = Client(portal.url, "alice")
            alice.wait_for_answer(alice.upload(png(draw_bone(seed=1)))["prediction"]["id"])

            # A worker that holds a message that it cannot acknowledge any more.
            held = alice.upload(large_xray(side=7000))["prediction"]["id"]
            wait_until(lambda: alice.state(held) != "queued", what="the worker to begin")
            redis.kill()
            waiting = [alice.upload(png(draw_bone(seed=seed)))["prediction"]["id"] for seed in (2, 3, 4)]
            assert [alice.state(prediction_id) for prediction_id in waiting] == ["queued"] * 3

            redis.start()
            answers = [alice.wait_for_answer(prediction_id) for prediction_id in (held, *waiting)]
            assert [answer["state"] for answer in answers] == ["succeeded"] * 4

            redis.kill(signal.SIGSTOP)
            paused = alice.upload(png(draw_bone(seed=5)))["prediction"]["id"]
            redis.kill(signal.SIGCONT)
            assert alice.wait_for_answer(paused)["state"] == "succeeded"
            assert [process.poll() for process in portal.processes.values()] == [None] * 4
        finally:
            portal.stop()
