"""Uptime Kuma: the notification type Webhook with its preset body."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.alerts.inbound.base import (
    MESSAGE_CHARS,
    NAME_CHARS,
    TITLE_CHARS,
    Batch,
    Incoming,
    Kind,
    PassOver,
    Wrong,
    expect_object,
    first,
    hosts_of,
    level_of,
    link,
    moment,
    read_each,
    register,
    text,
)
from apps.core.errors import Invalid

DOWN, UP, PENDING, MAINTENANCE = 0, 1, 2, 3
#: A message about no monitor, such as an expiring certificate, is never taken back: it ends after this long.
MESSAGE_LASTS = timedelta(days=1)


def _read(body: Mapping[str, Any]) -> Incoming:
    heartbeat, monitor = body.get("heartbeat"), body.get("monitor")
    if heartbeat is None:
        return _read_message(body)
    if not isinstance(heartbeat, Mapping):
        raise Wrong("heartbeat", "is not an object")
    if not isinstance(monitor, Mapping):
        raise Wrong("monitor", "is not an object; keep the preset body “application/json”")
    status = heartbeat.get("status")
    if status in (PENDING, MAINTENANCE) and not isinstance(status, bool):
        raise PassOver
    if status not in (DOWN, UP) or isinstance(status, bool):
        raise Wrong("heartbeat.status", f"“{text(status, 40)}” is not one of 0 (down), 1 (up), 2, 3")
    number = monitor.get("id", heartbeat.get("monitorID"))
    if not isinstance(number, int | str) or isinstance(number, bool) or not str(number):
        raise Wrong("monitor.id", "is missing: the monitor is known again by it")
    name = first(text(monitor.get("name"), NAME_CHARS), f"Monitor {text(number, 40)}")
    labels = {"monitor": name, "type": text(monitor.get("type"), 40), **_tags(monitor.get("tags"))}
    address = first(text(monitor.get("hostname"), 300), text(monitor.get("url"), 1000))
    if address:
        labels["target"] = address
    level, severity = level_of(*(labels.get(one, "") for one in ("severity", "level", "priority")))
    said = first(text(heartbeat.get("msg"), MESSAGE_CHARS), "it is down" if status == DOWN else "it is up again")
    return Incoming(
        fingerprint=f"monitor:{text(number, 100)}",
        kind="monitor",
        name=text(name, TITLE_CHARS),
        message=text(f"{name} is {'down' if status == DOWN else 'up'}: {said}", MESSAGE_CHARS),
        is_firing=status == DOWN,
        level=level,
        severity=severity,
        labels={key: value for key, value in labels.items() if value},
        link=link(monitor.get("url")),
        said_at=moment(heartbeat.get("time"), "heartbeat.time"),
        hosts=hosts_of(labels, address),
    )


def _read_message(body: Mapping[str, Any]) -> Incoming:
    said = text(body.get("msg"), MESSAGE_CHARS)
    if not said:
        raise Wrong("msg", "is missing, and there is no heartbeat either")
    if said.lower().endswith("testing"):
        raise PassOver
    return Incoming(
        fingerprint=f"message:{hashlib.sha256(said.encode()).hexdigest()}",
        kind="message",
        name=text(said, TITLE_CHARS),
        message=said,
        is_firing=True,
        ends_at=timezone.now() + MESSAGE_LASTS,
    )


def _tags(given: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in given[:60] if isinstance(given, list) else ():
        if isinstance(tag, Mapping) and tag.get("name"):
            found[text(tag["name"], NAME_CHARS)] = first(text(tag.get("value"), NAME_CHARS), "yes")
        elif isinstance(tag, str) and tag:
            found[text(tag, NAME_CHARS)] = "yes"
    return found


@register("uptime_kuma")
class UptimeKuma(Kind):
    """Uptime Kuma."""

    label = "Uptime Kuma"
    default_level = "critical"

    def read(self, document: Any, mapping: Mapping[str, Any]) -> Batch:
        """Return what a post says."""
        body = expect_object(document, "Uptime Kuma")
        if "heartbeat" not in body and "msg" not in body:
            raise Invalid({"heartbeat": "is missing; this address takes the webhook of Uptime Kuma, its preset JSON"})
        batch = read_each([body], _read)
        if batch.ignored and body.get("heartbeat") is None:
            batch.warnings.append("A test of Uptime Kuma arrived; it opens no alert.")
        return batch

    def steps(self) -> list[str]:
        """Return what to do over there."""
        return [
            "In Uptime Kuma open Settings, Notifications, and press “Setup Notification”.",
            "Choose the type “Webhook”, paste the Post URL below, and leave the request body at the preset "
            "“application/json”.",
            "Switch on “Default enabled” or choose it in the monitors, press “Test”, and save.",
        ]

    def snippet(self, url: str, token: str) -> str:
        """Return the address."""
        return f"Post URL: {url}\nRequest Body: Preset - application/json\n"
