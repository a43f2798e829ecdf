"""The inbox: deliver into it, read it."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import NotFound
from apps.core.events import Emission, Subject, emit_many, publish_live
from apps.core.models import Event
from apps.core.principals import Principal, system
from apps.notifications.models import Notification
from apps.notifications.texts import text_of


def put_into_inboxes(told: Sequence[tuple[Event, Iterable[User]]]) -> list[Notification]:
    """Tell users of facts, each of each once. Call it in the reader's transaction.

    Emits:
        notification, per user and seen by that user alone.
    """
    if not told:
        return []
    facts = [fact.uid for fact, _ in told]
    known = set(Notification.objects.filter(event_uid__in=facts).values_list("user_id", "event_uid"))
    rows: list[Notification] = []
    for fact, users in told:
        text = text_of(fact)
        rows += [
            Notification(
                user=user,
                event_uid=fact.uid,
                event_name=fact.name,
                level=text.level[:16],
                title=text.title,
                message=text.message,
                subject_kind=fact.subject_kind,
                subject_id=fact.subject_id,
                subject_name=fact.subject_name,
                url=text.path[:300],
            )
            for user in users
            if (user.id, fact.uid) not in known
        ]
    Notification.objects.bulk_create(rows)
    actor = system("notifications")
    emit_many(
        Emission(
            "notification",
            subject=Subject("notification", str(row.id), row.title),
            actor=actor,
            data=payload_of(row),
            level=row.level,
            owner_id=row.user_id,
        )
        for row in rows
    )
    return rows


def payload_of(row: Notification) -> dict[str, Any]:
    """Return the payload of the fact `notification`."""
    return {
        "notification_id": str(row.id),
        "title": row.title,
        "message": row.message,
        "level": row.level,
        "event": row.event_name,
        "subject_kind": row.subject_kind,
        "subject_id": row.subject_id,
        "url": row.url,
    }


def mark_read(*, actor: Principal, notification_id: UUID) -> Notification:
    """Mark one of the caller's messages as read; a second time changes nothing.

    Raises:
        NotFound: it is not one of the caller's (404).

    Emits:
        notification.read (live)
    """
    row = Notification.objects.visible_to(actor).filter(id=notification_id).first()
    if row is None:
        raise NotFound("There is no such message in your inbox.")
    if row.read_at is None:
        row.read_at = timezone.now()
        with transaction.atomic():
            row.save(update_fields=["read_at"])
            _tell_count(actor)
    return row


def mark_all_read(*, actor: Principal) -> int:
    """Mark all of the caller's messages as read.

    Returns:
        How many were unread.

    Emits:
        notification.read (live)
    """
    with transaction.atomic():
        marked = Notification.objects.visible_to(actor).unread().update(read_at=timezone.now())
        if marked:
            _tell_count(actor)
    return marked


def _tell_count(actor: Principal) -> None:
    transaction.on_commit(
        lambda: publish_live(
            "notification.read",
            subject=Subject("user", str(actor.user_id), actor.name),
            data={"unread_count": Notification.objects.visible_to(actor).unread().count()},
            owner_id=actor.user_id,
        )
    )
