"""Sending: claim what is due, send it, write down what came of it.

At least once: a result that is not written (a killed worker) leaves a lease that runs out, and the same message is sent
again under the same id.
"""

import json
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apps.core import leases, runtime_settings
from apps.core.events import Subject, emit
from apps.core.principals import system
from apps.core.registries import delivery_holds
from apps.notifications.models import Attempt, Channel, ChannelState, Delivery, Mail, Webhook, WebhookState
from apps.notifications.models.destinations import DestinationState
from apps.notifications.routing.facts import lane_of
from apps.notifications.routing.past import OPENING
from apps.notifications.services import channels, webhooks
from apps.notifications.services.common import touch_routes
from apps.notifications.services.deliveries import ring_after_commit, settle, suppress, suppress_open
from apps.notifications.services.fallbacks import fallback_of, hand_over
from apps.notifications.services.mail import mail_config
from apps.notifications.transports import Message, Outcome, transports

log = logging.getLogger(__name__)

#: Waits after the first, second … failed attempt; when they are used up the delivery has failed for good (a day).
BACKOFF_S = (5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
MOST_ATTEMPTS = len(BACKOFF_S) + 1
MOST_RETRY_AFTER_S = 86400
LEASE_S = 45  # an attempt ends after 15 s, or 10 s a step of SMTP; how long a killed worker delays a message
MOST_HANDED_OVER = 200  # in one transaction; what is left is told by the ledger alone
NEVER_TOLD = "The channel was never told that this alert opened."
AT_ONCE_PER_DESTINATION = 8  # a receiver that hangs must not take all senders

runtime_settings.declare(
    "notifications", "disable_after", "int", 3,
    "After how many deliveries in a row that failed for good a channel or webhook is disabled.", least=1, most=1000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt about to be made."""

    delivery: Delivery
    transport: str
    config: dict[str, Any]
    message: Message


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt."""

    delivery_id: int
    outcome: Outcome
    at: datetime


def webhook_config(webhook: Webhook) -> dict[str, Any]:
    """Return what the webhook transport needs; with both secrets while one is being replaced."""
    config = {"url": webhook.url, "secret": webhook.secret}
    if webhook.previous_secret and webhook.previous_secret_until and webhook.previous_secret_until > timezone.now():
        config["previous_secret"] = webhook.previous_secret
    return config


def due_deliveries(now: datetime) -> QuerySet[Delivery]:
    """Return what may be tried now: due, and nothing before it in its lane is under way, alone or in a summary."""
    same = Delivery.objects.filter(lane=OuterRef("lane"), id__lt=OuterRef("id"))
    earlier = same.filter(next_attempt_at__isnull=False, held=False)
    in_summary = same.filter(state=Delivery.State.BUNDLED, bundle__next_attempt_at__isnull=False)
    return Delivery.objects.filter(~Exists(earlier), ~Exists(in_summary), held=False, next_attempt_at__lte=now)


def claim_due(limit: int) -> list[Job]:
    """Claim up to `limit` deliveries that are due and first of their lane, and load what sending them needs.

    What may not be sent any more (destination gone or disabled, owner without the right) is suppressed on the way.
    """
    jobs: list[Job] = []
    for _ in range(4):  # what was passed over makes room for others
        if len(jobs) >= limit:
            break
        rows, trimmed = _claim(limit - len(jobs))
        if rows:
            jobs += _prepare(rows)
        if not trimmed:
            break
    return jobs


def _claim(limit: int) -> tuple[list[Delivery], bool]:
    now = timezone.now()
    due = due_deliveries(now)
    if not due.exists():  # the usual second: a read, no write transaction
        return [], False
    running = Counter(
        dict(
            Delivery.objects.filter(next_attempt_at__isnull=False, lease_until__gt=now)
            .values_list("destination_id")
            .annotate(count=Count("id"))
            .order_by()
        )
    )
    busy = [destination for destination, count in running.items() if count >= AT_ONCE_PER_DESTINATION]
    busy += ChannelState.objects.filter(retry_at__gt=now).values_list("pk", flat=True)
    busy += WebhookState.objects.filter(retry_at__gt=now).values_list("pk", flat=True)
    if busy:
        due = due.exclude(destination_id__in=busy)
    rows = leases.claim(due.order_by("next_attempt_at", "id"), limit=limit, owner=leases.owner(), seconds=LEASE_S)
    kept: list[Delivery] = []
    surplus: list[int] = []
    for row in rows:
        running[row.destination_id] += 1
        if row.kind != Delivery.Kind.MAIL and running[row.destination_id] > AT_ONCE_PER_DESTINATION:
            surplus.append(row.id)
        else:
            kept.append(row)
    if surplus:
        Delivery.objects.filter(id__in=surplus, lease_owner=leases.owner()).update(lease_owner="", lease_until=None)
    return kept, bool(surplus)


def _prepare(rows: list[Delivery]) -> list[Job]:
    ids: defaultdict[str, set[UUID]] = defaultdict(set)
    for row in rows:
        ids[row.kind].add(row.destination_id)
    found: dict[UUID, Channel | Webhook | Mail] = {
        **Channel.objects.in_bulk(ids[Delivery.Kind.CHANNEL]),
        **Webhook.objects.select_related("owner").prefetch_related("owner__roles").in_bulk(ids[Delivery.Kind.WEBHOOK]),
        **Mail.objects.in_bulk(ids[Delivery.Kind.MAIL]),
    }
    jobs: list[Job] = []
    broken: list[Result] = []
    refused: list[tuple[Delivery, Channel | Webhook | Mail | None, str]] = []
    holds = _holds(rows)
    for row in rows:
        destination = found.get(row.destination_id)
        reason = _refusal(row, destination) or holds.get((row.event_name, row.subject_kind, row.subject_id), "")
        if reason or destination is None:
            refused.append((row, destination, reason))
            continue
        try:
            jobs.append(_job(row, destination))
        except Exception as error:  # a sealed value without its key, a transport that is gone: ours, tried again later
            log.exception("a delivery can't be prepared", extra={"facts": {"delivery": str(row.uid)}})
            outcome = Outcome(False, error=f"The message could not be prepared: {error}"[:500])
            broken.append(Result(row.id, outcome, timezone.now()))
    if refused:
        with transaction.atomic():
            for row, destination, reason in refused:
                _suppress(row, destination, reason)
            ring_after_commit()
    if broken:
        record_results(broken)
    return jobs


def _holds(rows: list[Delivery]) -> Mapping[tuple[str, str, str], str]:
    """Return which of these nobody is told of any more: a silence may have begun after the routing."""
    keys = {
        (row.event_name, row.subject_kind, row.subject_id)
        for row in rows
        if row.kind == Delivery.Kind.CHANNEL and row.event_name.startswith("alert.") and not is_by_hand(row)
    }
    found: dict[tuple[str, str, str], str] = {}
    if keys:
        for _, ask in delivery_holds.items():
            found = {**ask(keys), **found}
    return found


def is_by_hand(row: Delivery) -> bool:
    """Return whether somebody had it sent again: then it leaves whatever happened since."""
    return row.lane != lane_of(row.destination_id, row.subject_kind, row.subject_id)


def _suppress(row: Delivery, destination: Channel | Webhook | Mail | None, reason: str) -> None:
    """Suppress what may not be sent, and let the fallback tell it where there is one that was told before or should."""
    other: Channel | None = None
    if (
        isinstance(destination, Channel)
        and not is_by_hand(row)
        and (not destination.enabled or (reason == NEVER_TOLD and _opening_handed_over(row)))
    ):
        other = fallback_of(destination)
    words = f"{reason} The fallback “{other.name}” is told in its place." if other else reason
    if suppress(Delivery.objects.filter(id=row.id), words) and other is not None:
        hand_over(row, other, f"In place of “{destination}”: {reason}")


def _opening_handed_over(row: Delivery) -> bool:
    opened = Delivery.objects.filter(lane=row.lane, id__lt=row.id, event_name__in=OPENING)
    return Delivery.objects.filter(in_place_of__in=opened).exclude(state=Delivery.State.SUPPRESSED).exists()


def _refusal(row: Delivery, destination: Channel | Webhook | Mail | None) -> str:
    """Return why this must not be sent now; "" where it may."""
    if destination is None:
        return "The destination was removed."
    if isinstance(destination, Mail):
        return ""
    if not destination.enabled:
        return "The destination is disabled."
    if isinstance(destination, Webhook) and not webhooks.delivers(destination, row.audience):
        return "The webhook's owner may not read this any more."
    if isinstance(destination, Channel) and row.event_name == "alert.resolved":
        opened = Delivery.objects.filter(lane=row.lane, id__lt=row.id, event_name__in=OPENING)
        arrived = Q(state=Delivery.State.DELIVERED) | Q(bundle__state=Delivery.State.DELIVERED)
        if opened.exists() and not opened.filter(arrived).exists():
            return NEVER_TOLD
    return ""


def _job(row: Delivery, destination: Channel | Webhook | Mail) -> Job:
    if isinstance(destination, Mail):
        message = Message(
            id=row.message_id, event=row.event_name, body=b"", title=destination.subject, text=destination.text or ""
        )
        return Job(row, "email", mail_config(destination.recipient), message)
    payload = row.payload
    message = Message(
        id=row.message_id,
        event=row.event_name,
        body=json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(),
        title=payload.get("title", row.event_name),
        text=payload.get("message", ""),
        level=payload.get("level", "info"),
        url=payload.get("url", ""),
        thread=lane_of(row.destination_id, row.subject_kind, row.subject_id),
        subject=row.subject_name or row.subject_id,
        kind=row.subject_kind,
        tags=tuple(str(tag) for tag in payload.get("tags") or ()),
        at=row.event_at,
        delay_s=0.0 if row.held else max(0.0, (timezone.now() - row.created_at).total_seconds()),
    )
    if isinstance(destination, Channel):
        if destination.type not in transports:
            raise LookupError(f"there is no transport “{destination.type}”")
        return Job(row, destination.type, channels.config_of(destination), message)
    return Job(row, "webhook", webhook_config(destination), message)


async def send(job: Job) -> Result:
    """Make one attempt; never raises for what happens on the way."""
    try:
        outcome = await transports[job.transport].send(job.config, job.message)
    except Exception as error:  # a fault of the transport must not stop the retries
        log.exception("transport %s failed", job.transport)
        outcome = Outcome(False, error=f"The transport failed: {type(error).__name__}: {error}"[:500])
    return Result(job.delivery.id, outcome, timezone.now())


def record_results(results: Iterable[Result]) -> None:
    """Write attempts, settle or reschedule the deliveries, keep the destinations' health; one transaction.

    Emits:
        channel.disabled or webhook.disabled and system.alert, where a destination failed for good.
    """
    by_id = {result.delivery_id: result for result in results}
    with transaction.atomic():
        rows = list(Delivery.objects.select_for_update().filter(id__in=by_id).order_by("id"))
        known = {row.id for row in rows}
        Attempt.objects.bulk_create(
            Attempt(
                delivery_id=number,
                at=result.at,
                status_code=result.outcome.status_code,
                latency_ms=result.outcome.latency_ms,
                request=dict(result.outcome.request),
                response=result.outcome.response,
                error=result.outcome.error[:500],
            )
            for number, result in by_id.items()
            if number in known
        )
        outcomes: defaultdict[tuple[str, UUID], list[tuple[Delivery, Outcome]]] = defaultdict(list)
        for row in rows:
            outcome = by_id[row.id].outcome
            if row.state == Delivery.State.PENDING:
                _write(row, outcome, by_id[row.id].at)
            outcomes[row.kind, row.destination_id].append((row, outcome))
        for (kind, destination_id), seen in sorted(outcomes.items(), key=lambda item: str(item[0])):
            _note(kind, destination_id, seen)
        if any(row.next_attempt_at is None for row in rows):
            ring_after_commit()  # the next of the lane may go


def _write(row: Delivery, outcome: Outcome, at: datetime) -> None:
    row.attempts += 1
    if outcome.ok:
        settle(row, Delivery.State.DELIVERED, reason=row.reason if row.in_place_of_id else "", at=at)
        return
    reason = ""
    if outcome.gone:
        reason = f"The other side refuses it for good: {outcome.error}"
    elif row.attempts >= MOST_ATTEMPTS:
        reason = f"Gave up after {row.attempts} attempts: {outcome.error}"
    if row.kind == Delivery.Kind.CHANNEL and (reason or row.attempts >= _fallback_after()):
        channel = Channel.objects.filter(id=row.destination_id).first()
        other = fallback_of(channel) if channel is not None else None
        if other is not None:
            reason = reason or f"Failed {row.attempts} times: {outcome.error}"
            hand_over(row, other, f"In place of “{channel}”: {reason}")
            reason = f"{reason[:200]} The fallback “{other.name}” is told in its place."
    if reason:
        settle(row, Delivery.State.FAILED, reason=reason, at=at)
        return
    wait = BACKOFF_S[row.attempts - 1] * random.uniform(0.9, 1.1)  # so that not all come back at once
    if outcome.retry_after_s is not None:
        wait = max(wait, min(outcome.retry_after_s, MOST_RETRY_AFTER_S))
    row.next_attempt_at = at + timedelta(seconds=wait)
    row.lease_owner, row.lease_until, row.reason = "", None, outcome.error[:300]
    row.save(update_fields=["attempts", "next_attempt_at", "lease_owner", "lease_until", "reason"])


def _fallback_after() -> int:
    return int(runtime_settings.get("notifications.fallback_after"))


def _note(kind: str, destination_id: UUID, seen: list[tuple[Delivery, Outcome]]) -> None:
    if kind == Delivery.Kind.MAIL:
        if seen[-1][0].next_attempt_at is None:
            mail = Mail.objects.filter(id=destination_id).first()
            if mail is not None:  # it may carry a link that opens an account
                mail.text = ""
                mail.save(update_fields=["text"])
        return
    rows: Any = ChannelState.objects if kind == Delivery.Kind.CHANNEL else WebhookState.objects
    state: DestinationState | None = rows.select_for_update().filter(pk=destination_id).first()
    if state is None:
        return
    for row, outcome in seen:
        state.last_attempt_at, state.last_status_code = timezone.now(), outcome.status_code
        state.last_error = outcome.error[:500]
        state.health = state.Health.HEALTHY if outcome.ok else state.Health.FAILING
        if outcome.ok:
            state.last_delivered_at, state.consecutive_failures = timezone.now(), 0
        elif row.state == Delivery.State.FAILED and (outcome.gone or row.attempts >= MOST_ATTEMPTS):
            state.consecutive_failures += 1  # and not what a fallback took over early: that is a bad hour, not the end
        if outcome.status_code == 429 and outcome.retry_after_s:
            # Whoever asks for rest gets it for all that waits, not for this message alone.
            state.retry_at = timezone.now() + timedelta(seconds=min(outcome.retry_after_s, MOST_RETRY_AFTER_S))
        elif outcome.ok:
            state.retry_at = None
    state.save()
    if state.consecutive_failures >= runtime_settings.get("notifications.disable_after"):
        _disable(kind, destination_id, state)


def _hand_over_open(row: Channel | Webhook) -> None:
    other = fallback_of(row) if isinstance(row, Channel) else None
    if other is None:
        return
    why = f"In place of “{row.name}”, which was disabled because deliveries kept failing."
    waiting = Delivery.objects.filter(kind=Delivery.Kind.CHANNEL, destination_id=row.id, next_attempt_at__isnull=False)
    for delivery in waiting.order_by("id")[:MOST_HANDED_OVER]:
        hand_over(delivery, other, why)


def _disable(kind: str, destination_id: UUID, state: DestinationState) -> None:
    model: Any = Channel if kind == Delivery.Kind.CHANNEL else Webhook
    row: Channel | Webhook | None = model.objects.select_for_update().filter(id=destination_id, enabled=True).first()
    if row is None:
        return
    reason = f"{state.consecutive_failures} deliveries in a row failed for good; the last: {state.last_error}"[:300]
    row.enabled, row.disabled_reason, row.revision = False, reason, row.revision + 1
    row.save(update_fields=["enabled", "disabled_reason", "revision", "updated_at"])
    _hand_over_open(row)
    suppress_open(kind, destination_id, "The destination was disabled, because deliveries kept failing.")
    touch_routes()
    actor = system("notifications")
    facts = channels.facts_of(row) if isinstance(row, Channel) else webhooks.facts_of(row)
    subject = Subject(kind, str(row.id), row.name)
    emit(
        f"{kind}.disabled",
        subject=subject,
        actor=actor,
        level="warning",
        data={**facts, "reason": reason},
        before={"enabled": True},
        after={"enabled": False},
    )
    emit(
        "system.alert",
        subject=subject,
        actor=actor,
        level="warning",
        data={
            "title": f"The {kind} “{row.name}” was disabled",
            "message": f"{reason} Put it right, test it, and enable it again.",
            "level": "warning",
        },
    )
