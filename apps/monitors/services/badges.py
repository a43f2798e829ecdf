"""Badges: make an address, take it back."""

import secrets
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.accounts.hashing import hash_secret
from apps.core import errors
from apps.core.events import Subject, emit
from apps.core.fields import MASK
from apps.core.models import Tag
from apps.core.principals import Principal
from apps.monitors.models import Badge, Endpoint, Heartbeat

LABEL_CHARS = 60
DAYS_MOST = 365
#: Badges of an installation.
BADGES_MOST = 2_000


def create_badge(
    *, actor: Principal, kind: str, subject: str, shows: str = Badge.STATUS, days: int = 30, label: str = ""
) -> Badge:
    """Make a public address that shows how something stands.

    Args:
        kind: "endpoint", "heartbeat" or "tag".
        subject: the id, or the tag's name.
        shows: "status", "uptime" or "last_ping" (of a heartbeat).
        days: of the uptime.
        label: the left word; without it the badge names nothing.

    Raises:
        Invalid: no such thing, or a value is wrong (422).
        Conflict: there are too many badges (409).

    Emits: badge.created.

    Source: POST /api/v1/badges.
    """
    problems: dict[str, str] = {}
    if kind not in (Badge.ENDPOINT, Badge.HEARTBEAT, Badge.TAG):
        problems["kind"] = "must be one of endpoint, heartbeat, tag"
    elif not _exists(kind, subject):
        problems["subject"] = f"there is no such {kind}"
    if shows not in (Badge.STATUS, Badge.UPTIME, Badge.LAST_PING):
        problems["shows"] = "must be one of status, uptime, last_ping"
    elif shows == Badge.LAST_PING and kind != Badge.HEARTBEAT:
        problems["shows"] = "only a heartbeat has a last ping"
    if not 1 <= days <= DAYS_MOST:
        problems["days"] = f"must lie in 1..{DAYS_MOST}"
    label = " ".join(label.split())
    if len(label) > LABEL_CHARS or not label.isprintable():
        problems["label"] = f"give at most {LABEL_CHARS} plain characters"
    if problems:
        raise errors.Invalid(problems)
    token = secrets.token_urlsafe(24)
    badge = Badge(
        kind=kind, subject=str(subject), shows=shows, days=days, label=label, token=token, digest=hash_secret(token)
    )
    with transaction.atomic():
        if Badge.objects.count() >= BADGES_MOST:
            raise errors.Conflict(f"There are {BADGES_MOST} badges already; revoke some first.", code="too_many")
        badge.save(force_insert=True)
        _emit("created", badge, actor)
    return badge


def delete_badge(*, badge_id: UUID, actor: Principal) -> None:
    """Revoke a badge: its address answers 404 from now on.

    Raises:
        NotFound: there is no such badge (404).

    Emits: badge.deleted.

    Source: DELETE /api/v1/badges/{id}.
    """
    with transaction.atomic():
        badge = Badge.objects.select_for_update().filter(pk=badge_id).first()
        if badge is None:
            raise errors.NotFound("There is no such badge.")
        _emit("deleted", badge, actor)
        badge.delete()


def _exists(kind: str, subject: str) -> bool:
    try:
        if kind == Badge.TAG:
            return Tag.objects.filter(name=subject).exists()
        return bool((Endpoint if kind == Badge.ENDPOINT else Heartbeat).objects.filter(pk=subject).exists())
    except (ValidationError, ValueError):
        return False


def _emit(verb: str, badge: Badge, actor: Principal) -> None:
    shown = {name: getattr(badge, name) for name in ("kind", "subject", "shows", "days", "label")}
    shown["token"] = MASK
    emit(
        f"badge.{verb}",
        subject=Subject("badge", str(badge.pk), badge.label or badge.shows),
        actor=actor,
        data={"badge_id": str(badge.pk), "kind": badge.kind, "subject_id": badge.subject},
        before=shown if verb == "deleted" else None,
        after=shown if verb == "created" else None,
    )
