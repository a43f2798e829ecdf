"""The inbox: deliver into it, read it."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import NotFound
from apps.core.events import Emission, Subject, emit_many, publish_live
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import Principal, system
from apps.core.rows import insert_rows
from apps.notifications.models import Notification
from apps.notifications.texts import text_of

_COLUMNS = (
    "id", "user_id", "event_uid", "event_name", "level", "title", "message", "subject_kind", "subject_id",
    "subject_name", "url", "created_at",
)  # fmt: skip


def put_into_inboxes(told: Sequence[tuple[Event, Iterable[User]]]) -> int:
    """Tell users of facts, each of each once. Call it in the reader's transaction.

    Returns:
        How many messages were written.

    Emits:
        notification, per user and seen by that user alone.
    """
    if not told:
        return 0
    facts = [fact.uid for fact, _ in told]
    known = set(Notification.objects.filter(event_uid__in=facts).values_list("user_id", "event_uid"))
    now, actor = timezone.now(), system("notifications")
    rows: list[tuple[Any, ...]] = []
    emissions: list[Emission] = []
    for fact, users in told:
        text = text_of(fact)
        level, path = text.level[:16], text.path[:300]
        about = (fact.subject_kind, fact.subject_id, fact.subject_name)
        for user in users:
            if (user.id, fact.uid) in known:
                continue
            number = new_id()
            rows.append((number, user.id, fact.uid, fact.name, level, text.title, text.message, *about, path, now))
            data = {
                "notification_id": str(number),
                "title": text.title,
                "message": text.message,
                "level": level,
                "event": fact.name,
                "subject_kind": fact.subject_kind,
                "subject_id": fact.subject_id,
                "url": path,
            }
            subject = Subject("notification", data["notification_id"], text.title)
            emissions.append(
                Emission("notification", subject=subject, actor=actor, data=data, level=level, owner_id=user.id)
            )
    insert_rows(Notification, _COLUMNS, rows)
    emit_many(emissions)
    return len(rows)


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
