"""Prometheus Alertmanager: the webhook's version 4."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from apps.alerts.inbound.base import (
    LEVEL_LABELS,
    MESSAGE_CHARS,
    NAME_CHARS,
    Batch,
    Incoming,
    Kind,
    Wrong,
    expect_object,
    fingerprint_of,
    first,
    hosts_of,
    level_of,
    link,
    moment,
    pairs,
    read_each,
    register,
    start,
    text,
    title,
)
from apps.core.errors import Invalid

STATUSES = ("firing", "resolved")


def is_firing(entry: Mapping[str, Any], group_status: Any) -> bool:
    """Return whether an alert is open by its own status, else by its group's; an end that has passed ends it.

    Raises:
        Wrong: the status is neither, or the end is no time.
    """
    status = entry.get("status") or group_status
    if status not in STATUSES:
        raise Wrong("status", f"“{text(status, 40)}” is neither firing nor resolved")
    ends_at = moment(entry.get("endsAt"), "endsAt")
    return status == "firing" and (ends_at is None or ends_at > timezone.now())


def read_alert(entry: Mapping[str, Any], group_status: Any, *, links: tuple[Any, ...], value: Any = None) -> Incoming:
    """Read one alert as Alertmanager and Grafana write it.

    Args:
        links: addresses that lead back, the best first.

    Raises:
        Wrong: a field is of another kind, or nothing tells the alert from others.
    """
    labels, annotations = pairs(entry.get("labels"), "labels"), pairs(entry.get("annotations"), "annotations")
    name = first(labels.get("alertname", ""), annotations.get("title", ""), "Alert without a name")
    level, severity = level_of(*(labels.get(label, "") for label in LEVEL_LABELS))
    firing = is_firing(entry, group_status)
    message = first(
        *(annotations.get(one, "") for one in ("summary", "message", "description", "title")),
        f"{name} is {'firing' if firing else 'over'}",
    )
    return Incoming(
        fingerprint=fingerprint_of(entry.get("fingerprint"), labels),
        kind=text(name, NAME_CHARS),
        name=title(name, labels),
        message=text(message, MESSAGE_CHARS),
        is_firing=firing,
        level=level,
        severity=severity,
        labels=labels,
        annotations=annotations,
        link=link(*links),
        value=value,
        starts_at=start(entry.get("startsAt"), "startsAt"),
        ends_at=moment(entry.get("endsAt"), "endsAt") if firing else None,
        hosts=hosts_of(labels),
    )


def note_truncated(document: Mapping[str, Any], batch: Batch, remedy: str) -> None:
    """Say that the sender left alerts off."""
    left_off = document.get("truncatedAlerts")
    if isinstance(left_off, int) and not isinstance(left_off, bool) and left_off > 0:
        batch.warnings.append(f"The sender left {left_off} alerts of this group off; {remedy}.")


@register("alertmanager")
class Alertmanager(Kind):
    """Prometheus Alertmanager."""

    label = "Prometheus Alertmanager"

    def read(self, document: Any, mapping: Mapping[str, Any]) -> Batch:
        """Return what a post says."""
        body = expect_object(document, "Alertmanager")
        if "alerts" not in body:
            raise Invalid({"alerts": "is missing; this address takes the webhook of Alertmanager, version 4"})
        batch = read_each(
            body["alerts"],
            lambda entry: read_alert(
                entry, body.get("status"), links=(entry.get("generatorURL"), body.get("externalURL"))
            ),
        )
        note_truncated(body, batch, "raise max_alerts of its webhook, or set it to 0")
        return batch

    def steps(self) -> list[str]:
        """Return what to do over there."""
        return [
            "Open alertmanager.yml and add the receiver below.",
            "Name it in the route, or in a route of its own with “continue: true” if others are to be told as well.",
            "Reload Alertmanager, and send a test from here: it opens an alert and ends it.",
        ]

    def snippet(self, url: str, token: str) -> str:
        """Return the receiver."""
        return f"""receivers:
  - name: watchkeeper
    webhook_configs:
      - url: {url.removesuffix("/" + token)}
        send_resolved: true
        max_alerts: 0
        http_config:
          authorization:
            type: Bearer
            credentials: {token}

route:
  receiver: watchkeeper
"""
