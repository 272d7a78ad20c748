"""The pages that are timed on databases with few and with many rows, and the users who request them."""

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from classifier.core.models import AuditEntry, Notification, User
from classifier.core.pagination import CappedPaginator
from classifier.radiographs.models import Prediction, PredictionBatch, Radiograph
from classifier.reviews.models import Review
from ml.classes import FRACTURE_CLASSES

PEOPLE = {
    "made-typical": "500 X-rays",
    "made-heavy": "20,000 X-rays",
    "made-reviewer": "a reviewer",
    "made-admin": "an admin",
}
SEARCHES = {
    "by name": {"name": "wrist"},
    "by a name that is not there": {"name": "zebra"},
    "by class": {"class": FRACTURE_CLASSES[0]},
    "by state": {"state": "succeeded"},
    "by a rare state": {"state": "failed"},
    "by all three": {"name": "-", "class": FRACTURE_CLASSES[0], "state": "succeeded"},
}


@dataclass(frozen=True)
class Page:
    """One page that is timed.

    Attributes:
        group: Heading under which it is reported.
        name: What the page shows.
        person: Username of a user that benchmarks.seed_database creates.
        address: Path of the page.
        is_timed: False if its time grows with the number of rows by design; then only its query plans are shown.
    """

    group: str
    name: str
    person: str
    address: str
    is_timed: bool = True

    @property
    def who(self) -> str:
        return f"{PEOPLE[self.person]}, {self.group}"


def pages() -> list[Page]:
    """Returns all pages, with the ids of the database that is connected now."""
    return [
        *(page for person in ("made-typical", "made-heavy") for page in _of_a_person(person)),
        *_of_a_reviewer("made-reviewer"),
        *_of_an_admin("made-admin"),
    ]


def _of_a_person(person: str) -> list[Page]:
    owner = User.objects.get(username=person)
    own = Radiograph.objects.owned_by(owner).newest_first()
    answered = own.filter(predictions__state="succeeded", reviews=None)
    one = answered.exclude(predictions__model_version__number=5)[0]
    prediction = one.predictions.get()
    shown = [("waiting", f"{row.id}:{row.prediction.state}") for row in own.with_predictions()[:24]]
    history, api = "/radiographs/", "/api/v1/radiographs/"
    deep, api_deep = max(1, own.count() // 24), max(1, own.count() // 50)
    searches = {**SEARCHES, "by one X-ray's name": {"name": own.reverse()[0]._file_name}}
    found = [
        ("history", "first page", history),
        ("history", "a page far back", f"{history}?page={deep}"),
        *(("history", f"search {how}", f"{history}?{_query(wanted)}") for how, wanted in searches.items()),
        ("trash", "first page", f"{history}trash/"),
        ("upload", "the newest six", "/"),
        ("result", "an X-ray with its answer", f"{history}{one.id}/"),
        ("result", "the answer alone, as a waiting page asks", f"{history}{one.id}/answer/"),
        ("result", "poll for 24 answers", f"{history}answers/?{urlencode(shown)}"),
        ("API", "list, first page", api),
        ("API", "list, a page far back", f"{api}?page={api_deep}"),
        *(("API", f"list {how}", f"{api}?{urlencode(wanted)}") for how, wanted in searches.items()),
        ("API", "one radiograph", f"{api}{one.id}/"),
        ("API", "one prediction", f"/api/v1/predictions/{prediction.id}/"),
    ]
    return [Page(group, name, person, address) for group, name, address in found]


def _query(wanted: dict[str, str]) -> str:
    return urlencode({{"class": "class_name"}.get(name, name): value for name, value in wanted.items()})


def _of_a_reviewer(person: str) -> list[Page]:
    review = Review.objects.order_by("-id")[0]
    unsure = Prediction.objects.worklist()[0]
    deep = min(Prediction.objects.worklist().count(), CappedPaginator.most)
    found = [
        ("reviews", "worklist, first page", "/reviews/"),
        ("reviews", "worklist, a page far back", f"/reviews/?page={max(1, deep // 24)}"),
        ("reviews", "an X-ray to review", f"/radiographs/{unsure.radiograph_id}/"),
        ("reviews", "an X-ray with reviews", f"/radiographs/{review.radiograph_id}/"),
        ("API", "worklist, first page", "/api/v1/reviews/worklist/"),
        ("API", "worklist, a page far back", f"/api/v1/reviews/worklist/?page={max(1, deep // 50)}"),
        ("API", "reviews, first page", "/api/v1/reviews/"),
        ("API", "reviews of an X-ray", f"/api/v1/reviews/?radiograph={review.radiograph_id}"),
    ]
    return [Page(group, name, person, address) for group, name, address in found]


def _of_an_admin(person: str) -> list[Page]:
    num_notifications = Notification.objects.for_user(User.objects.get(username=person)).count()
    oldest = AuditEntry.objects.order_by("id")[0].pk
    batch = PredictionBatch.objects.order_by("id")[0].pk
    found = [
        ("notifications", "first page", "/notifications/"),
        ("notifications", "a page far back", f"/notifications/?page={max(1, num_notifications // 24)}"),
        ("audit log", "first page", "/audit-log/"),
        ("audit log", "a page far back", f"/audit-log/?before={oldest + 60}"),
        ("API", "audit entries, first page", "/api/v1/audit-entries/"),
        ("API", "audit entries, a page far back", f"/api/v1/audit-entries/?cursor={_cursor(oldest + 60)}"),
        ("status", "status page", "/status/"),
        ("status", "metrics", "/metrics"),
        ("predicted again", "a batch of them", f"/predictions/batches/{batch}/"),
        ("predicted again", "how far it is", f"/predictions/batches/{batch}/progress/"),
    ]
    # Django's administration counts all rows.
    untimed = [
        ("administration", "all X-rays", "/admin/radiographs/radiograph/"),
        ("administration", "all predictions", "/admin/radiographs/prediction/"),
    ]
    return [
        *(Page(group, name, person, address) for group, name, address in found),
        *(Page(group, name, person, address, is_timed=False) for group, name, address in untimed),
    ]


def _cursor(before: int) -> str:
    """Returns a cursor as REST framework encodes it."""
    return quote(b64encode(urlencode({"p": before}).encode()).decode())
