"""However many rows there are, a page asks as many queries, and so does what workers and the beat do."""

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks.paired_timing import timed_calls
from benchmarks.seeding import seed
from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from portal.accounts.services import create_default_groups


def num_queries() -> dict[str, int]:
    """By page and action."""
    found = {}
    for thing in timed_calls():
        if thing.is_timed:
            thing.do()  # what is looked up once
            with CaptureQueriesContext(connection) as queries:
                thing.do()
            found[f"{thing.who}: {thing.name}"] = len(queries)
    return found


def test_more_rows_take_no_more_queries(
    settings: LazySettings, files: object, live_model: ModelVersion
) -> None:
    settings.API_READS_PER_MINUTE = 1_000_000
    create_default_groups()
    seed(num_predictions=600, num_users=20)
    few = num_queries()
    seed(num_predictions=1800, num_users=20)
    assert Prediction.objects.count() == 2400
    assert len(few) > 70
    assert num_queries() == few


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads a table this small as a whole")
def test_a_search_reads_one_index_of_x_rays_and_one_of_answers(alice: User) -> None:
    found = Radiograph.objects.search(alice, name="wrist", class_name="Spiral Fracture", state="succeeded")
    plan = found.newest_first().values("pk").explain()
    assert "COVERING INDEX radiograph_own (owner_id=?" in plan
    x_rays, answers = plan.split("LIST SUBQUERY")
    assert "INDEX prediction_search (owner_id=? AND class_name=? AND state=?)" in answers
    assert "CORRELATED" not in x_rays, "that would search all answers again for each X-ray"
    # Whether a matching answer is the newest of its X-ray.
    assert answers.count("CORRELATED") == answers.count("(radiograph_id=?)") == 1
