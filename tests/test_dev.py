"""The tools of developers: `make dev` with its sample data, and what docs/development.md tells."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.reviews.models import Review
from dev import sample_data
from tests.client import Client
from tests.servers import ROOT, Portal, wait_until

DOCUMENT = (ROOT / "docs/development.md").read_text(encoding="utf-8")


def test_make_dev_serves_sample_data_and_restarts_when_code_changes(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "var", program=[sys.executable, "-m", "dev"])
    changed = ROOT / "templates/400.html"
    try:
        folder = ["--data-dir", str(portal.data_dir)]
        portal.start("dev", "--bind", f"127.0.0.1:{portal.port}", *folder)
        portal.wait_until_live(seconds=180)  # It makes the sample data first.
        alice = Client(portal.url, "alice", sample_data.PASSWORD)
        assert alice.get("radiographs/")["count"] == 24
        changed.touch()
        commands = ("web", "worker predict", "worker train", "beat")
        wait_until(
            lambda: all(f"Restarting {command}" in portal.console() for command in commands),
            what="all processes to restart",
            seconds=120,
        )
        portal.wait_until_live(seconds=180)
    finally:
        portal.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "https://callus.example.org"),
        ("DATABASE_URL", "postgres://callus@localhost/callus"),
        ("DATABASE_URL_FILE", "/run/secrets/database"),
        ("STORAGE_URL", "s3://bucket"),
        ("REDIS_URL", "redis://localhost"),
    ],
)
def test_make_dev_refuses_to_serve_others_or_to_write_elsewhere(
    tmp_path: Path, name: str, value: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        env={name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"{done.stderr.strip()}\n"
    assert f"unset {name.removesuffix('_FILE')}." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_sample_data_shows_answers_of_each_kind_and_reviews(db: None, files: Path) -> None:
    call_command("prepare")
    assert sample_data.is_needed()
    sample_data.fill()
    assert not sample_data.is_needed()
    assert Radiograph.objects.count() == Prediction.objects.count() == 30
    succeeded = Prediction.objects.filter(state="succeeded")
    assert succeeded.filter(abstained=True).exists()
    assert {prediction.finding for prediction in succeeded} == set(Prediction.Finding)
    assert Prediction.objects.filter(state="failed").exists()
    assert not Prediction.objects.filter(state="queued").exists()
    assert Prediction.objects.filter(review_rank=Prediction.ReviewRank.DISAGREEMENT).exists()
    assert {review.finding for review in Review.objects.all()} == set(Review.Finding)
    assert any(review.boxes for review in Review.objects.all())
    assert User.objects.get(username="rita").has_perm("radiographs.review_radiograph")
    assert User.objects.get(username="tess").has_perm("registry.train_model")


def test_sample_data_is_not_mixed_with_data_of_a_portal_in_use(alice: User) -> None:
    with pytest.raises(sample_data.Refused):
        sample_data.is_needed()


def test_paths_in_the_documentation_exist() -> None:
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", DOCUMENT)
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists() and not path.startswith("var/")] == []


def test_commands_in_the_documentation_exist() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    commands = [line.split("#")[0].split() for block in blocks for line in block.splitlines() if line.strip()]
    for command in commands:
        if command[0] == "make":
            subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, check=True)
        for word in command:
            if word.startswith("tests/"):
                assert (ROOT / word.split("::")[0]).exists(), word
    targets = {command[1] for command in commands if command[0] == "make"}
    assert {"dev", "check", "test", "format", "lock"} <= targets
