"""Sending: claim what is due, send it, write down what came of it.

At least once: a result that is not written (a killed worker) leaves a lease that runs out, and the same message is sent
again under the same id.
"""

import json
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.core import leases, runtime_settings
from apps.core.events import Subject, emit
from apps.core.principals import system
from apps.notifications.models import Attempt, Channel, ChannelState, Delivery, Mail, Webhook, WebhookState
from apps.notifications.models.destinations import DestinationState
from apps.notifications.services import channels, webhooks
from apps.notifications.services.common import touch_routes
from apps.notifications.services.deliveries import ring_after_commit, settle, suppress, suppress_open
from apps.notifications.services.mail import mail_config
from apps.notifications.transports import Message, Outcome, transports

log = logging.getLogger(__name__)

#: Waits after the first, second … failed attempt; when they are used up the delivery has failed for good (a day).
BACKOFF_S = (5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
MOST_ATTEMPTS = len(BACKOFF_S) + 1
MOST_RETRY_AFTER_S = 86400
LEASE_S = 45  # an attempt ends after 15 s, or 10 s a step of SMTP; how long a killed worker delays a message
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
    refused: list[tuple[Delivery, str]] = []
    for row in rows:
        destination = found.get(row.destination_id)
        reason = _refusal(row, destination)
        if reason or destination is None:
            refused.append((row, reason))
            continue
        try:
            jobs.append(_job(row, destination))
        except Exception as error:  # a sealed value without its key, a transport that is gone: ours, tried again later
            log.exception("a delivery can't be prepared", extra={"facts": {"delivery": str(row.uid)}})
            outcome = Outcome(False, error=f"The message could not be prepared: {error}"[:500])
            broken.append(Result(row.id, outcome, timezone.now()))
    if refused:
        with transaction.atomic():
            for row, reason in refused:
                suppress(Delivery.objects.filter(id=row.id), reason)
            ring_after_commit()
    if broken:
        record_results(broken)
    return jobs


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
        opened = Delivery.objects.filter(
            lane=row.lane, id__lt=row.id, event_name__in=("alert.opened", "alert.escalated")
        )
        if opened.exists() and not opened.filter(state=Delivery.State.DELIVERED).exists():
            return "The channel was never told that this alert opened."
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
        thread=row.lane,
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
        settle(row, Delivery.State.DELIVERED, at=at)
    elif outcome.gone:
        settle(row, Delivery.State.FAILED, reason="The other side says that it is gone for good (410).", at=at)
    elif row.attempts >= MOST_ATTEMPTS:
        settle(row, Delivery.State.FAILED, reason=f"Gave up after {row.attempts} attempts: {outcome.error}", at=at)
    else:
        wait = BACKOFF_S[row.attempts - 1] * random.uniform(0.9, 1.1)  # so that not all come back at once
        if outcome.retry_after_s is not None:
            wait = max(wait, min(outcome.retry_after_s, MOST_RETRY_AFTER_S))
        row.next_attempt_at = at + timedelta(seconds=wait)
        row.lease_owner, row.lease_until, row.reason = "", None, outcome.error[:300]
        row.save(update_fields=["attempts", "next_attempt_at", "lease_owner", "lease_until", "reason"])


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
        elif row.state == Delivery.State.FAILED:
            state.consecutive_failures += 1
    state.save()
    if state.consecutive_failures >= runtime_settings.get("notifications.disable_after"):
        _disable(kind, destination_id, state)


def _disable(kind: str, destination_id: UUID, state: DestinationState) -> None:
    model: Any = Channel if kind == Delivery.Kind.CHANNEL else Webhook
    row: Channel | Webhook | None = model.objects.select_for_update().filter(id=destination_id, enabled=True).first()
    if row is None:
        return
    reason = f"{state.consecutive_failures} deliveries in a row failed for good; the last: {state.last_error}"[:300]
    row.enabled, row.disabled_reason, row.revision = False, reason, row.revision + 1
    row.save(update_fields=["enabled", "disabled_reason", "revision", "updated_at"])
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
