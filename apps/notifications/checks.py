"""What the notifications tell about themselves: subjects, health, features, metrics."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, Min, Model, OuterRef
from django.utils import timezone

from apps.core.registries import (
    Health,
    SubjectKind,
    features,
    health_parts,
    mailers,
    metric_collectors,
    subjects,
    vital_signs,
)
from apps.core.services.outside_heartbeat import STUCK
from apps.notifications.models import (
    Attempt,
    Channel,
    ChannelState,
    Delivery,
    Notification,
    Rule,
    Webhook,
    WebhookState,
)
from apps.notifications.services.mail import queue_mail
from apps.notifications.services.sending import due_deliveries


def _subject(model: type[Model], name_field: str = "name") -> SubjectKind:
    def find(row_id: str) -> str | None:
        try:
            key = UUID(row_id)
        except ValueError:
            return None
        return model._default_manager.filter(pk=key).values_list(name_field, flat=True).first()

    def url(row_id: str) -> str:
        return f"/admin/notifications/{model._meta.model_name}/{row_id}/change/"

    return SubjectKind(find=find, url=url)


def mail_health() -> Health:
    """Answer whether mail leaves: off where none is configured, degraded while it is being refused."""
    failing = ChannelState.objects.filter(channel__type="email", channel__enabled=True, health="failing").count()
    waiting = Delivery.objects.filter(kind=Delivery.Kind.MAIL, next_attempt_at__isnull=False, attempts__gt=0).count()
    if failing or waiting:
        return Health("degraded", f"{failing} email channels fail, {waiting} mails wait for another attempt")
    if not settings.SMTP_URL and not Channel.objects.filter(type="email", enabled=True).exists():
        return Health("off", "no mail is configured (SMTP_URL, or a channel of type email)")
    return Health("ok")


def delivery_health() -> Health:
    """Answer whether deliveries leave: degraded while one that is due has been waiting for more than a minute."""
    oldest = due_deliveries(timezone.now()).aggregate(at=Min("next_attempt_at"))["at"]
    failing = [model.objects.filter(health="failing").count() for model in (ChannelState, WebhookState)]
    late = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    if late > 60:
        return Health("degraded", f"the oldest message has been waiting for {late:.0f} s")
    if any(failing):
        return Health("degraded", f"{failing[0]} channels and {failing[1]} webhooks fail")
    return Health("ok")


def deliveries_go_out(now: datetime) -> str:
    """Say that messages stay here because of us; a receiver that hangs, refuses or wants a rest is not us."""
    since = now - STUCK
    tried = Attempt.objects.filter(delivery__destination_id=OuterRef("destination_id"), at__gte=since)
    in_hand = Delivery.objects.filter(
        destination_id=OuterRef("destination_id"), next_attempt_at__isnull=False, lease_until__gt=now
    )
    resting = [
        *ChannelState.objects.filter(retry_at__gt=now).values_list("pk", flat=True),
        *WebhookState.objects.filter(retry_at__gt=now).values_list("pk", flat=True),
    ]
    late = due_deliveries(since).exclude(destination_id__in=resting).filter(~Exists(tried), ~Exists(in_hand))
    oldest = late.aggregate(at=Min("next_attempt_at"))["at"]
    return f"Messages that were due at {oldest:%H:%M:%S} UTC have not been sent." if oldest else ""


def collect(per_object: bool) -> Iterator[Any]:
    """Yield the metrics of the deliveries."""
    waiting = Delivery.objects.filter(next_attempt_at__isnull=False)
    oldest = waiting.filter(held=False).aggregate(at=Min("created_at"))["at"]
    age = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    yield "watchkeeper_deliveries_open", "gauge", "Deliveries not settled yet.", [({}, waiting.count())]
    yield "watchkeeper_delivery_oldest_open_seconds", "gauge", "Age of the oldest open delivery.", [({}, max(0.0, age))]
    if per_object:
        rows = [
            ({"kind": kind, "name": name}, 0 if health == "failing" else 1)
            for kind, found in (
                ("channel", ChannelState.objects.values_list("channel__name", "health")),
                ("webhook", WebhookState.objects.values_list("webhook__name", "health")),
            )
            for name, health in found
        ]
        yield "watchkeeper_destination_healthy", "gauge", "0 while the last attempt to the destination failed.", rows


subjects.register("channel", _subject(Channel))
subjects.register("rule", _subject(Rule))
subjects.register("webhook", _subject(Webhook))
subjects.register("notification", _subject(Notification, "title"))
health_parts.register("mail", mail_health)
health_parts.register("deliveries", delivery_health)
vital_signs.register("deliveries", deliveries_go_out)
features.register("email", lambda: bool(settings.SMTP_URL))
metric_collectors.register("deliveries", collect)
if settings.SMTP_URL:
    mailers.register("email", queue_mail)
