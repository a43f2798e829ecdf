"""Pings that come by mail: whether an address leads anywhere, and taking what was sent to it."""

from collections.abc import Sequence
from dataclasses import replace

from apps.core import runtime_settings
from apps.core.api.throttling import windows
from apps.monitors.models import Heartbeat
from apps.monitors.services.pings import ACCEPTED, UNKNOWN, Answer, PingRequest, accept_pings
from apps.monitors.services.slug_pings import NOTHING, find_slugs

#: When a listener noted last that it takes mail.
LISTENING = "smtp:listening"
#: What the log shows where pings over HTTP show their method.
METHOD = "MAIL"


def find_mail_address(ping: PingRequest) -> Answer:
    """Say what would become of a ping, before its sender sends the message.

    Unknown addresses are counted as over HTTP: past the limit of a minute their sender must wait.

    Returns:
        200, 404, 409 (several heartbeats have this slug) or 429.
    """
    if ping.slug is not None:
        found = find_slugs({ping.slug}).get(ping.slug, NOTHING)
        if found.problem:
            return Answer(409, detail=found.problem)
        is_known = found.uuid is not None
    else:
        is_known = Heartbeat.objects.filter(uuid=ping.uuid).exists()
    if is_known:
        return ACCEPTED
    now = windows.clock()
    count, reset = windows.hit(f"unknown-ping:{ping.remote_addr}", now)
    if count > int(runtime_settings.get("limits.unknown_pings_per_minute")):
        return Answer(429, max(1, round(reset - now)))
    return UNKNOWN


def accept_mail(pings: Sequence[PingRequest], *, sender: str, body: bytes, source: str) -> list[Answer]:
    """Take one message as a ping of each of its recipients; when this returns they are committed.

    Emits: what `accept_pings` emits.
    """
    agent = f"mail from {sender}" if sender else "mail"
    return accept_pings([replace(ping, method=METHOD, user_agent=agent, body=body, source=source) for ping in pings])
