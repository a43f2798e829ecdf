"""Mails of the platform itself, e.g. password resets."""

import logging
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.notifications.models import Delivery, Mail
from apps.notifications.routing.facts import lane_of
from apps.notifications.services.deliveries import ring_after_commit
from apps.notifications.transports.email import config_from_url

log = logging.getLogger(__name__)


def mail_config(recipient: str) -> dict[str, Any]:
    """Return the email transport's configuration from SMTP_URL.

    Raises:
        ValueError: SMTP_URL is not set or not a URL of that kind.
    """
    return config_from_url(settings.SMTP_URL, sender=settings.MAIL_FROM, recipient=recipient)


def queue_mail(to: str, subject: str, text: str) -> None:
    """Queue one mail; a worker sends it, again until it is accepted. Where no mail is configured it is logged."""
    if not settings.SMTP_URL:
        log.warning("no SMTP_URL is set; a mail was not sent", extra={"facts": {"subject": subject}})
        return
    with transaction.atomic():
        mail = Mail.objects.create(recipient=to, subject=" ".join(subject.split())[:255], text=text)
        Delivery.objects.create(
            kind=Delivery.Kind.MAIL,
            destination_id=mail.id,
            lane=lane_of(mail.id, "mail", str(mail.id)),
            message_id=uuid4().hex,
            event_name="mail",
            event_at=timezone.now(),
            subject_kind="mail",
            subject_id=str(mail.id),
            subject_name=mail.subject,
        )
        ring_after_commit()
