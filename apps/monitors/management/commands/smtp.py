"""`manage.py smtp`: the listener that turns mail into pings."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.monitors.mail.listener import Certificate, Listener


class Command(BaseCommand):
    """Takes mail for heartbeats until it is ended."""

    help = "Take mail to the addresses of heartbeats as their pings, on SMTP_ADDRESS and SMTP_PORT."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen; says in one sentence why it can't."""
        if not settings.SMTP_PORT:
            raise CommandError("SMTP_PORT is not set; give the port to listen on, for example 25 or 2525.")
        certificate = None
        if settings.SMTP_TLS_CERT:
            try:
                certificate = Certificate(settings.SMTP_TLS_CERT, settings.SMTP_TLS_KEY)
            except OSError as error:
                raise CommandError(
                    f"SMTP_TLS_CERT, SMTP_TLS_KEY: {settings.SMTP_TLS_CERT} and its key can't be used"
                    f" ({error.strerror})."
                ) from error
        listener = Listener(
            host=settings.SMTP_ADDRESS,
            port=settings.SMTP_PORT,
            domain=settings.SMTP_DOMAIN,
            certificate=certificate,
        )
        try:
            asyncio.run(listener.serve())
        except OSError as error:
            raise CommandError(
                f"SMTP_ADDRESS, SMTP_PORT: {settings.SMTP_ADDRESS} port {settings.SMTP_PORT} can't be listened on"
                f" ({error.strerror})."
            ) from error
