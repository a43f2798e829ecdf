"""The mail listener in the core's registries, where it is switched on."""

from django.conf import settings
from django.utils import timezone

from apps.core import leases
from apps.core.pulse import NOTE_S
from apps.core.registries import Health, features, health_parts
from apps.monitors.services.mail_pings import LISTENING

#: It notes that it is there every few seconds; three of these missed, and it is not.
ABSENT_AFTER_S = 3 * NOTE_S


def mail_health() -> Health:
    """Say whether a listener is at work, in this process's installation or on another machine."""
    at = leases.last_runs(LISTENING).get("")
    if at is None:
        return Health("down", f"No mail listener has started yet (port {settings.SMTP_PORT}); see logs/smtp.log.")
    age = (timezone.now() - at).total_seconds()
    if age > ABSENT_AFTER_S:
        return Health("down", f"No mail listener has been at work for {round(age)} s; see logs/smtp.log.")
    return Health("ok", f"Mail to heartbeats at {settings.SMTP_DOMAIN} is taken on port {settings.SMTP_PORT}.")


if settings.SMTP_PORT:
    health_parts.register("mail_pings", mail_health)
features.register("mail_pings", lambda: bool(settings.SMTP_PORT))
