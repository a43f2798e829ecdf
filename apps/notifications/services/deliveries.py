"""The ledger: queue a delivery, settle it, send it again."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core import bell
from apps.core.errors import Conflict
from apps.core.events import Subject, emit
from apps.core.ids import new_id
from apps.core.principals import Principal
from apps.core.rows import insert_rows
from apps.notifications.models import Channel, Delivery, Webhook
from apps.notifications.routing.facts import FactLike, lane_of
from apps.notifications.states import DELIVERY
from apps.notifications.texts import thing_of


def new_delivery(
    kind: str,
    destination_id: UUID,
    fact: FactLike,
    payload: Mapping[str, Any],
    *,
    rule_id: UUID | None = None,
    suppressed: str = "",
    held: tuple[str, datetime, str] | None = None,
    message_id: str = "",
    reason: str = "",
) -> Delivery:
    """Return a delivery that is not saved yet.

    Args:
        suppressed: why it is kept in the ledger but never sent.
        held: what it waits for, until when, and that in a sentence.
        message_id: of its own where it repeats an older fact; else the fact's.
        reason: why it is sent at all, where that is not plain.
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
        audience=dict(fact.audience),
        payload=dict(payload),
        rule_id=rule_id,
        reason=reason[:300],
    )
    if suppressed:
        delivery.state, delivery.reason = Delivery.State.SUPPRESSED, suppressed[:300]
        delivery.next_attempt_at, delivery.settled_at = None, timezone.now()
    elif held:
        delivery.held, delivery.waits_for, delivery.next_attempt_at = True, held[0], held[1]
        delivery.reason = held[2][:300]
    return delivery


_COLUMNS = tuple(str(field.column) for field in Delivery._meta.concrete_fields if field.column != "id")
_values = attrgetter(*(field.attname for field in Delivery._meta.concrete_fields if field.column != "id"))


def insert_deliveries(deliveries: Sequence[Delivery]) -> None:
    """Save new deliveries in their order. Their ids stay unknown: a delivery that another names is saved otherwise."""
    insert_rows(
        Delivery,
        _COLUMNS,
        [[json.dumps(value) if isinstance(value, dict) else value for value in _values(row)] for row in deliveries],
    )


#: What a repeat of a delivery takes over from it.
REPEATED = (
    "message_id", "event_name", "event_seq", "event_at", "subject_kind", "subject_id", "subject_name", "thing",
    "audience", "payload", "rule_id",
)  # fmt: skip


def repeat_of(delivery: Delivery, destination_id: UUID, *, lane: str, reason: str) -> Delivery:
    """Return the same message once more, not saved yet; it keeps its id."""
    return Delivery(
        kind=delivery.kind,
        destination_id=destination_id,
        lane=lane,
        reason=reason[:300],
        **{name: getattr(delivery, name) for name in REPEATED},
    )


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


def redeliver(*, actor: Principal, delivery: Delivery) -> Delivery:
    """Queue the same message once more, with the same id, whatever rules, quiet hours and limits say.

    Raises:
        Conflict: it has not come to its end yet, it can't be repeated, or its destination is disabled or gone (409).

    Emits:
        webhook.redelivered or channel.redelivered
    """
    if delivery.state == Delivery.State.PENDING:
        raise Conflict("This delivery is still being tried; wait for its end.", code="wrong_state")
    row: Webhook | Channel | None = None
    if delivery.kind == Delivery.Kind.WEBHOOK:
        row = Webhook.objects.filter(id=delivery.destination_id).first()
    elif delivery.kind == Delivery.Kind.CHANNEL:
        row = Channel.objects.filter(id=delivery.destination_id).first()
    if row is None:
        raise Conflict("There is nobody any more to send this to.", code="wrong_state")
    if not row.enabled:
        raise Conflict(f"This {delivery.kind} is disabled; enable it first.", code="wrong_state")
    if not delivery.payload:
        raise Conflict("This message was kept without its content; it can't be sent again.", code="wrong_state")
    # A queue of its own: it neither waits for what is under way about the same subject nor holds it up.
    again = repeat_of(delivery, row.id, lane=lane_of(row.id, "again", str(new_id())), reason="Sent again by hand.")
    facts = {"delivery_id": str(again.uid), "message_id": again.message_id, "name": row.name}
    own = {"type": row.type} if isinstance(row, Channel) else {}
    with transaction.atomic():
        again.save(force_insert=True)
        emit(
            f"{delivery.kind}.redelivered",
            subject=Subject(delivery.kind, str(row.id), row.name),
            actor=actor,
            data={**facts, **own, f"{delivery.kind}_id": str(row.id)},
        )
        ring_after_commit()
    return again
