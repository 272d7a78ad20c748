"""Changes the live model: promotes a version, with a second person if the gate objects, and rolls back."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from classifier.core.errors import CallusError, NotAllowedNow
from classifier.core.models import AuditEntry, Notification, User
from classifier.core.notifications import notify
from classifier.core.permissions import PROMOTE
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from classifier.registry.services import lapse, make_live
from classifier.training import gate

# The rule keeps out "ok" and "test". Whether a reason is good is for the second person to judge.
MIN_REASON_LENGTH = 20
MIN_REASON_WORDS = 4
REASON_RULE = f"at least {MIN_REASON_LENGTH} characters in at least {MIN_REASON_WORDS} words"


class PromotionRefused(CallusError):
    status = 409
    message = "This model cannot be promoted."


class ReasonRefused(CallusError):
    message = f"Write a reason of {REASON_RULE}."


def others_who_may_promote(user: User) -> QuerySet[User]:
    """Selects the people besides this one who could confirm a promotion."""
    return User.objects.with_perm(PROMOTE).exclude(pk=user.pk)


def promote_version(
    *, user: User, version: ModelVersion, reason: str = "", seen_live: str = ""
) -> Promotion | PromotionRequest:
    """Make a version live: it answers what is uploaded from now on. What is under way keeps its version.

    If the gate objects, nothing goes live: a second person is asked to confirm it.

    Args:
        seen_live: the number of the version that was live when the person decided, where this is known.

    Raises:
        PromotionRefused: the gate objects, and no reason is written.
        ReasonRefused: the gate objects, and the reason is too short.
        NotAllowedNow: it is live already, another version than `seen_live` is, or a request for it waits.
    """
    reason = reason.strip()
    with transaction.atomic():
        lock_promotions()
        live = ModelVersion.objects.live()
        _check_still_live(live, seen_live)
        if version == live:
            raise NotAllowedNow(f"{version} is live already.")
        result = gate.check(version, live)
        if live is not None and result.objection:
            return _ask_second_person(user, version, live, result.objection, reason)
        promotion = make_live(version, promoted_by=user, reason=reason)
        _record(promotion, result, live)
    return promotion


def _ask_second_person(
    user: User, version: ModelVersion, live: ModelVersion, objection: str, reason: str
) -> PromotionRequest:
    if not reason:
        raise PromotionRefused(
            f"{objection} To promote it anyway, give a reason, which a second person must confirm."
        )
    if len(" ".join(reason.split())) < MIN_REASON_LENGTH or len(reason.split()) < MIN_REASON_WORDS:
        raise ReasonRefused(field="reason")
    if waiting := PromotionRequest.objects.waiting().filter(model_version=version).first():
        raise NotAllowedNow(
            f"{waiting.requested_by} has already asked to promote {version}. Another person can confirm that."
        )
    request = PromotionRequest.objects.create(
        model_version=version, live=live, requested_by=user, objection=objection, reason=reason
    )
    AuditEntry.objects.record(
        actor=user,
        action="promotion requested",
        about=request,
        model_version=version.number,
        live=live.number,
        objection=objection,
        reason=reason,
    )
    text = f"{user} asks a second person to confirm the promotion of {version}: {reason}"
    for other in others_who_may_promote(user):
        notify(other, text, Notification.Subject.PROMOTION_REQUEST, request.pk)
    return request


def confirm_promotion(*, user: User, request: PromotionRequest) -> Promotion:
    """Make the version of a waiting request live, as a second person.

    Raises:
        NotAllowedNow: the person asked for it, or the request is decided or has lapsed.
    """
    with transaction.atomic():
        lock_promotions()
        request = _waiting(request)
        if request.requested_by == user:
            raise NotAllowedNow(
                "You asked for this promotion. Another person with the permission to promote must confirm it."
            )
        live = ModelVersion.objects.live()
        result = gate.check(request.model_version, live)
        why = _why_lapsed(request, live, result.objection)
        if not why:
            _decide(request, PromotionRequest.State.CONFIRMED, user)
            promotion = make_live(
                request.model_version,
                promoted_by=request.requested_by,
                confirmed_by=user,
                objection=request.objection,
                reason=request.reason,
            )
            request.promotion = promotion
            request.save(update_fields=["promotion"])
            _record(promotion, result, live)
            text = f"{user} confirmed the promotion of {request.model_version}. It is live."
            notify(request.requested_by, text, Notification.Subject.PROMOTION_REQUEST, request.pk)
            return promotion
        lapse(request, why)
    raise NotAllowedNow(f"This request has lapsed. {why}")


def _why_lapsed(request: PromotionRequest, live: ModelVersion | None, objection: str) -> str:
    """Returns why a request cannot be confirmed any more, in a sentence; empty if it can."""
    if live != request.live:
        return f"{live} has become live in the meantime."
    if objection != request.objection:
        return "The gate no longer says what it said then. See what it says now, and ask again."
    requested_by = request.requested_by
    if not requested_by.is_active or not requested_by.has_perm(PROMOTE):
        return f"{requested_by} may no longer promote models."
    return ""


def decline_promotion(*, user: User, request: PromotionRequest) -> PromotionRequest:
    """End a waiting request without promoting. The person who asked for it withdraws it with this.

    Raises:
        NotAllowedNow: the request is decided or has lapsed.
    """
    with transaction.atomic():
        lock_promotions()
        request = _waiting(request)
        is_own = request.requested_by == user
        state = PromotionRequest.State.WITHDRAWN if is_own else PromotionRequest.State.DECLINED
        _decide(request, state, user)
        action = "promotion request withdrawn" if is_own else "promotion declined"
        AuditEntry.objects.record(
            actor=user, action=action, about=request, model_version=request.model_version.number
        )
        if not is_own:
            text = f"{user} declined the promotion of {request.model_version}."
            notify(request.requested_by, text, Notification.Subject.PROMOTION_REQUEST, request.pk)
    return request


def _waiting(request: PromotionRequest) -> PromotionRequest:
    """Returns the request as it is now, after a lock. Raises: NotAllowedNow: it does not wait any more."""
    related = PromotionRequest.objects.select_related("model_version", "live", "requested_by", "decided_by")
    request = related.get(pk=request.pk)
    if request.state == PromotionRequest.State.LAPSED:
        raise NotAllowedNow(f"This request has lapsed. {request.lapsed_because}")
    if request.state != PromotionRequest.State.WAITING:
        raise NotAllowedNow(
            f"This request does not wait any more: {request.get_state_display()} by {request.decided_by}."
        )
    return request


def _decide(request: PromotionRequest, state: PromotionRequest.State, user: User) -> None:
    request.state, request.decided_by, request.decided_at = state, user, timezone.now()
    request.save(update_fields=["state", "decided_by", "decided_at"])


def _record(promotion: Promotion, result: gate.GateResult, live: ModelVersion | None) -> None:
    """Stores what the gate decided on, and adds the promotion to the audit log."""
    if result.comparison is not None:
        result.comparison.promotions.add(promotion)
    people = {}
    if promotion.confirmed_by is not None:
        people = {"confirmed_by": promotion.confirmed_by.get_username()}
    AuditEntry.objects.record(
        actor=promotion.promoted_by,
        action="promoted",
        about=promotion.model_version,
        before=live.number if live else None,
        objection=promotion.objection,
        reason=promotion.reason,
        **people,
    )


def lock_promotions() -> None:
    """Of two people who change the live model at once, the second sees what the first did."""
    Promotion.objects.select_for_update().order_by("id").first()


def _check_still_live(live: ModelVersion | None, seen_live: str) -> None:
    """Raises: NotAllowedNow: someone has changed the live model since the person saw which one it is."""
    if live is not None and seen_live not in ("", str(live.number)):
        raise NotAllowedNow(
            f"{live} has become live in the meantime, so nothing was changed. See what would change now."
        )


def roll_back(*, user: User, reason: str = "", seen_live: str = "") -> Promotion:
    """Make the version live again that was live before. It was judged when it was promoted, so no gate asks.

    Args:
        seen_live: the number of the version that was live when the person decided, where this is known. Two people
            who roll back the same version at once would otherwise go back twice.

    Raises:
        NotAllowedNow: no other version was live before, or another version than `seen_live` is live.
    """
    with transaction.atomic():
        lock_promotions()
        live, before = ModelVersion.objects.live(), Promotion.objects.before_live()
        _check_still_live(live, seen_live)
        if live is None or before is None:
            raise NotAllowedNow("No other model was live before this one.")
        promotion = make_live(before, kind=Promotion.Kind.ROLL_BACK, promoted_by=user, reason=reason.strip())
        AuditEntry.objects.record(
            actor=user, action="rolled back", about=before, before=live.number, reason=reason.strip()
        )
    return promotion
