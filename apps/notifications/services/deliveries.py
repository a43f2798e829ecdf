"""The ledger: queue a delivery, settle it, send it again."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core import bell
from apps.core.errors import Conflict
from apps.core.events import Subject, emit
from apps.core.models import Event
from apps.core.principals import Principal
from apps.notifications.models import Delivery, Webhook
from apps.notifications.states import DELIVERY
from apps.notifications.texts import text_of, thing_of


def lane_of(destination_id: UUID, subject_kind: str, subject_id: str) -> str:
    """Return the name of the queue in which messages to one destination about one subject keep their order."""
    return hashlib.blake2b(f"{destination_id}|{subject_kind}|{subject_id}".encode(), digest_size=16).hexdigest()


def payload_of(fact: Event) -> dict[str, Any]:
    """Return a fact as programs get it. Source: Standard Webhooks, "payload structure"."""
    return {
        "type": fact.name,
        "timestamp": fact.at.isoformat().replace("+00:00", "Z"),
        "id": str(fact.uid),
        "seq": fact.seq,
        "data": fact.data,
        "subject": {"kind": fact.subject_kind, "id": fact.subject_id, "name": fact.subject_name},
        "level": fact.level,
        "tags": fact.tags,
        "actor": {key: fact.actor.get(key) for key in ("kind", "id", "name")},
    }


def payload_for_people(fact: Event, *, prefix: str = "") -> dict[str, Any]:
    """Return a fact as channels get it: the payload of programs with title, message and link."""
    text = text_of(fact)
    words = {"title": f"{prefix}{text.title}", "message": text.message, "url": text.url}
    return {**payload_of(fact), "level": text.level, **words}


def new_delivery(
    kind: str,
    destination_id: UUID,
    fact: Event,
    payload: Mapping[str, Any],
    *,
    rule_id: UUID | None = None,
    suppressed: str = "",
    hold_until: datetime | None = None,
    message_id: str = "",
) -> Delivery:
    """Return a delivery that is not saved yet.

    Args:
        suppressed: why it is kept in the ledger but never sent.
        hold_until: end of the quiet hours it waits for.
        message_id: of its own where it repeats an older fact; else the fact's.
    """
    delivery = Delivery(
        kind=kind,
        destination_id=destination_id,
        lane=lane_of(destination_id, fact.subject_kind, fact.subject_id),
        message_id=message_id or str(fact.uid),
        event_name=fact.name,
        event_seq=fact.seq,
        event_at=fact.at,
        subject_kind=fact.subject_kind,
        subject_id=fact.subject_id,
        subject_name=fact.subject_name,
        thing=thing_of(fact),
        audience=fact.audience,
        payload=dict(payload),
        rule_id=rule_id,
    )
    if suppressed:
        delivery.state, delivery.reason = Delivery.State.SUPPRESSED, suppressed[:300]
        delivery.next_attempt_at, delivery.settled_at = None, timezone.now()
    elif hold_until:
        delivery.held, delivery.next_attempt_at = True, hold_until
        delivery.reason = f"Waits for the end of the quiet hours, {hold_until:%Y-%m-%d %H:%M %Z}."
    return delivery


def settle(delivery: Delivery, state: str, *, reason: str = "", at: datetime | None = None) -> None:
    """Move an open delivery to its last state and save that.

    Raises:
        Conflict: it is settled already (409).
    """
    DELIVERY.check(delivery.state, state)
    delivery.state, delivery.reason = state, reason[:300]
    delivery.next_attempt_at, delivery.settled_at = None, at or timezone.now()
    delivery.lease_owner, delivery.lease_until = "", None
    delivery.save(
        update_fields=["state", "reason", "attempts", "next_attempt_at", "settled_at", "lease_owner", "lease_until"]
    )


def suppress(rows: QuerySet[Delivery], reason: str) -> int:
    """Suppress the open ones among `rows`; returns how many. An attempt that runs now is not recalled."""
    return rows.filter(state=Delivery.State.PENDING).update(
        state=Delivery.State.SUPPRESSED, reason=reason[:300], next_attempt_at=None, settled_at=timezone.now(),
        lease_owner="", lease_until=None,
    )  # fmt: skip


def suppress_open(kind: str, destination_id: UUID, reason: str) -> int:
    """Suppress whatever still waits for a destination; returns how many."""
    return suppress(
        Delivery.objects.filter(kind=kind, destination_id=destination_id, next_attempt_at__isnull=False), reason
    )


def ring_after_commit() -> None:
    """Wake the senders once this transaction is committed."""
    transaction.on_commit(lambda: bell.ring(bell.WORK))


def redeliver(*, actor: Principal, webhook: Webhook, delivery: Delivery) -> Delivery:
    """Queue the same message once more, with the same `webhook-id`.

    Raises:
        Conflict: it has not come to its end yet, or the webhook is disabled (409).

    Emits:
        webhook.redelivered
    """
    if delivery.state == Delivery.State.PENDING:
        raise Conflict("This delivery is still being tried; wait for its end.", code="wrong_state")
    if not webhook.enabled:
        raise Conflict("This webhook is disabled; enable it first.", code="wrong_state")
    again = Delivery(
        reason="Redelivered by hand.",
        **{
            name: getattr(delivery, name)
            for name in (
                "kind", "destination_id", "lane", "message_id", "event_name", "event_seq", "event_at", "subject_kind",
                "subject_id", "subject_name", "thing", "audience", "payload", "rule_id",
            )
        },
    )  # fmt: skip
    with transaction.atomic():
        again.save(force_insert=True)
        emit(
            "webhook.redelivered",
            subject=Subject("webhook", str(webhook.id), webhook.name),
            actor=actor,
            data={
                "webhook_id": str(webhook.id),
                "name": webhook.name,
                "delivery_id": str(again.uid),
                "message_id": again.message_id,
            },
        )
        ring_after_commit()
    return again
