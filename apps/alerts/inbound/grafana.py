"""Grafana: contact points of unified alerting (version "1"), and the notification channels before it."""

from collections.abc import Mapping
from typing import Any

from apps.alerts.inbound.alertmanager import note_truncated, read_alert
from apps.alerts.inbound.base import (
    MESSAGE_CHARS,
    NAME_CHARS,
    Batch,
    Incoming,
    Kind,
    PassOver,
    Wrong,
    expect_object,
    figure,
    first,
    hosts_of,
    level_of,
    link,
    pairs,
    read_each,
    register,
    text,
    title,
)
from apps.core.errors import Invalid


def _value(entry: Mapping[str, Any]) -> float | None:
    """Return the figure of an alert where it has exactly one."""
    values = entry.get("values")
    found = [figure(value) for value in values.values()] if isinstance(values, Mapping) else []
    return found[0] if len(found) == 1 else None


def _read_rule(entry: Mapping[str, Any]) -> Incoming:
    """Read a post of the alerting before unified alerting: one rule."""
    state = text(entry.get("state"), 40)
    if state in ("pending", "paused", "unknown"):
        raise PassOver
    if state not in ("alerting", "ok", "no_data"):
        raise Wrong("state", f"“{state}” is not one of alerting, ok, no_data")
    if not isinstance(entry.get("ruleId"), int | str):
        raise Wrong("ruleId", "is missing: the rule is known again by it")
    labels = pairs(entry.get("tags"), "tags")
    matches = entry.get("evalMatches")
    matched = matches[0] if isinstance(matches, list) and matches and isinstance(matches[0], Mapping) else {}
    name = first(text(entry.get("ruleName"), NAME_CHARS), "Grafana rule")
    level, severity = level_of(labels.get("severity", ""), labels.get("level", ""))
    return Incoming(
        fingerprint=f"rule:{text(entry.get('orgId'), 20)}:{text(entry.get('ruleId'), 100)}",
        kind=name,
        name=title(name, labels),
        message=text(first(text(entry.get("message"), MESSAGE_CHARS), text(entry.get("title"), MESSAGE_CHARS), name),
                     MESSAGE_CHARS),
        is_firing=state != "ok",
        level=level,
        severity=severity,
        labels=labels,
        link=link(entry.get("ruleUrl")),
        value=figure(matched.get("value")),
        hosts=hosts_of(labels),
    )  # fmt: skip


@register("grafana")
class Grafana(Kind):
    """Grafana."""

    label = "Grafana"

    def read(self, document: Any, mapping: Mapping[str, Any]) -> Batch:
        """Return what a post says."""
        body = expect_object(document, "Grafana")
        if "alerts" not in body and "ruleId" in body:
            return read_each([body], _read_rule)
        if "alerts" not in body:
            raise Invalid({"alerts": "is missing; this address takes the webhook of a contact point of Grafana"})
        batch = read_each(
            body["alerts"],
            lambda entry: read_alert(
                entry,
                body.get("status"),
                links=(
                    *(entry.get(one) for one in ("panelURL", "dashboardURL", "generatorURL")), body.get("externalURL"),
                ),
                value=_value(entry),
            ),
        )  # fmt: skip
        note_truncated(body, batch, "raise “Max Alerts” of the contact point, or leave it empty")
        return batch

    def steps(self) -> list[str]:
        """Return what to do over there."""
        return [
            "In Grafana open Alerting, Contact points, and press “Add contact point”.",
            "Choose the integration “Webhook” and paste the URL below. The HTTP method stays POST.",
            "Rather without the token in the URL: paste it up to /alerts/in, and under optional settings give the "
            "authorization header scheme Bearer and the token as credentials.",
            "Press “Test”, save, and choose the contact point in a notification policy.",
        ]

    def snippet(self, url: str, token: str) -> str:
        """Return the address and the header's parts."""
        return f"""URL: {url}

or with the token in a header:
URL: {url.removesuffix("/" + token)}
Authorization Header Scheme: Bearer
Authorization Header Credentials: {token}
"""
