"""A portal with one person of each kind and one thing of each kind, and what each person is answered there."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from classifier.core.models import AuditEntry, Notification, Site, User
from classifier.core.permissions import ADJUDICATE, PROMOTE, REVIEW, TRAIN, VIEW
from classifier.radiographs.models import PredictionBatch
from classifier.radiographs.services import trash_radiograph
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from classifier.reviews.models import Review
from classifier.training import gate
from classifier.training.models import Recalibration, RetrainingSchedule
from portal.accounts.services import create_default_groups
from portal.operations.models import QUEUES, Canary
from tests.conftest import PASSWORD, xray
from tests.retraining_rows import CLASSES, compare, make_candidate, make_dataset, make_run, user_who_may
from tests.security.complete_requests import Ids, arguments, fill
from tests.uploads import fail, finish, receive

# The columns of the tables and what each person may, besides `anonymous`.
PEOPLE: dict[str, tuple[str, ...]] = {
    "other": (),
    "owner": (),
    "reviewer": (REVIEW,),
    "adjudicator": (REVIEW, ADJUDICATE),
    "viewer": (VIEW,),
    "trainer": (VIEW, TRAIN),
    "promoter": (VIEW, PROMOTE),
    "staff": (),
    "admin": (),
}

# Parts of addresses that name nothing of a person's.
PLAIN = {
    "token": "no-token",
    "key": "no-key",
    "uidb36": "1",
    "content_type_id": 1,
    "object_id": 1,
    "app_label": "core",
    "url": "nothing-here",
}


@dataclass(frozen=True)
class World:
    ids: Ids
    # The same names, of things that do not exist.
    nobodys: Ids
    sessions: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    # To be revoked.
    spare_tokens: dict[str, str] = field(default_factory=dict)
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def ask(
        self,
        person: str,
        method: str,
        address: str,
        *,
        existing: bool = True,
        with_session: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """The answer to a complete request, with `body` read to its end. What the request changed is undone.

        The API is asked with a token, unless `with_session`.
        """
        ids = self.ids if existing else self.nobodys
        self.client.cookies.clear()
        headers = {"Accept": "text/html, application/json", **(headers or {})}
        if person != "anonymous" and address.startswith("/api/") and not with_session:
            headers["Authorization"] = f"Bearer {self.tokens[person]}"
        elif person != "anonymous":
            self.client.cookies[settings.SESSION_COOKIE_NAME] = self.sessions[person]
        cache.clear()
        with transaction.atomic():
            answer: Any = self.client.generic(
                method, fill(address, ids), headers=headers, **arguments(method, address, ids)
            )
            answer.body = b"".join(answer.streaming_content) if answer.streaming else answer.content
            transaction.set_rollback(True)
        return answer


def make_world(model: ModelVersion) -> World:
    """`model` is live at first; then another is."""
    people = {name: user_who_may(name, *permissions) for name, permissions in PEOPLE.items()}
    for user in people.values():
        user.set_password(PASSWORD)
    people["staff"].is_staff = True
    people["admin"].is_staff = people["admin"].is_superuser = True
    people["owner"].site = Site.objects.create(name="Ward 3", allows_training=True)
    for user in people.values():
        user.save()
    # So that `admin` may delete their account.
    root = User.objects.create_superuser("root")
    make_rows_of_libraries(root)

    world = World(_things(people, model), _nothing())
    for name, user in people.items():
        client = Client()
        client.force_login(user)
        world.sessions[name] = client.session.session_key or ""
        for tokens in (world.tokens, world.spare_tokens):
            tokens[name] = AuthToken.objects.create(user=user)[1]
    return world


def make_rows_of_libraries(user: User) -> None:
    """One at least of each kind that the administration shows, where nothing else makes one."""
    create_default_groups()
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    UserSession.objects.create(user=user, session_key="a-session", ip="192.0.2.1", user_agent="A browser")
    AuditEntry.objects.record(actor=user, action="tested", about=user)
    now = timezone.now()
    Canary.objects.bulk_create([Canary(queue=queue, sent_at=now, done_at=now) for queue in QUEUES])


def _things(people: dict[str, User], model: ModelVersion) -> Ids:
    owner = people["owner"]
    radiograph, failed, trashed = (receive(owner, xray(name)) for name in ("a.png", "b.png", "c.png"))
    prediction = finish(radiograph)
    fail(failed)
    trash_radiograph(radiograph=trashed)
    # They disagree, so there is something to decide.
    for name, finding in (("reviewer", "no_fracture"), ("adjudicator", "fracture")):
        Review.objects.create(
            radiograph=radiograph, prediction=prediction, reviewer=people[name], finding=finding
        )
    dataset = make_dataset()
    live = make_candidate(dataset, card={"classes": CLASSES, "architecture": "tiny_cnn", "finding": {}})
    Promotion.objects.create(model_version=live)
    # With the finding of the live model, so that the gate does not object.
    candidate = make_candidate(dataset, card=live.card)
    run = make_run(dataset)
    RetrainingSchedule.get()
    Notification.objects.create(
        user=people["trainer"], text="Done.", subject="training_run", subject_id=run.pk
    )
    EmailAddress.objects.create(user=owner, email=owner.email, primary=True)
    return {
        "radiograph_id": radiograph.id,
        "failed_id": failed.id,
        "trashed_id": trashed.id,
        "prediction_id": prediction.id,
        "batch_id": PredictionBatch.objects.create(model_version=model, created_by=owner).pk,
        "dataset_id": dataset.pk,
        "run_id": run.pk,
        "number": candidate.number,
        "comparison_id": compare(candidate, live).pk,
        "request_id": _asked_for(make_candidate(dataset, card=live.card), live).pk,
        "recalibration_id": Recalibration.objects.create(start_version=live).pk,
        "token_key": AuthToken.objects.create(user=owner)[0].token_key,
        "user_id": owner.pk,
        **PLAIN,
    }


def _asked_for(version: ModelVersion, live: ModelVersion) -> PromotionRequest:
    """A request of somebody who is none of the people of the tables."""
    return PromotionRequest.objects.create(
        model_version=version,
        live=live,
        requested_by=User.objects.get(username="root"),
        objection=gate.check(version, live).objection,
        reason="The live one fails on our films.",
    )


def _nothing() -> Ids:
    rows = (
        *("batch_id", "dataset_id", "run_id", "number", "comparison_id", "recalibration_id"),
        *("request_id", "user_id"),
    )
    things = ("radiograph_id", "failed_id", "trashed_id", "prediction_id")
    return {
        **dict.fromkeys(rows, 7_000_000),
        **{name: uuid.uuid4() for name in things},
        "token_key": "0123456789abcde",
        **PLAIN,
    }
