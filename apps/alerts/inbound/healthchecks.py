"""Healthchecks: its webhook, with the check itself (`$JSON`) as the body."""

from collections.abc import Mapping
from typing import Any

from apps.alerts.inbound.base import (
    MESSAGE_CHARS,
    NAME_CHARS,
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

#: States that are no news of an outage.
QUIET = ("new", "grace", "started", "paused")


def _read(body: Mapping[str, Any]) -> Incoming:
    check = body.get("check", body)
    if not isinstance(check, Mapping):
        raise Wrong("check", "is not an object; put $JSON there, without quotes")
    status = text(body.get("status") or check.get("status"), 40).lower()
    if status in QUIET:
        raise PassOver
    if status not in ("down", "up"):
        raise Wrong("status", f"“{status}” is neither down nor up")
    address = text(check.get("ping_url"), 500).rstrip("/").rpartition("/")[2]
    known_by = first(*(text(check.get(one), 200) for one in ("uuid", "unique_key", "code")), address,
                     *(text(check.get(one), 200) for one in ("slug", "name")))  # fmt: skip
    if not known_by:
        raise Wrong("uuid", "is missing, and so are unique_key, slug and name: the check is known again by one of them")
    name = first(text(check.get("name"), NAME_CHARS), text(check.get("slug"), NAME_CHARS), "Unnamed check")
    tags = check.get("tags")
    words = tags.split()[:50] if isinstance(tags, str) else []
    labels = {"check": name, "slug": text(check.get("slug"), NAME_CHARS), "tags": text(" ".join(words), 1000)}
    for word in words:  # people write "severity=critical" or "env:prod" among them
        key, sign, value = word.replace("=", ":", 1).partition(":")
        if sign and key and value:
            labels[text(key, NAME_CHARS)] = text(value, NAME_CHARS)
    level, severity = level_of(*(labels.get(one, "") for one in ("severity", "level", "priority")))
    last = moment(check.get("last_ping"), "last_ping")
    heard = f"last ping {last:%Y-%m-%d %H:%M} UTC" if last else "it has never pinged"
    message = f"{name} is down: {heard}" if status == "down" else f"{name} is up again"
    return Incoming(
        fingerprint=f"check:{known_by}",
        kind="check",
        name=name,
        message=text(message, MESSAGE_CHARS),
        is_firing=status == "down",
        level=level,
        severity=severity,
        labels={key: value for key, value in labels.items() if value},
        annotations={"description": text(check.get("desc"), 1000)} if check.get("desc") else {},
        link=link(check.get("details_url"), check.get("update_url")),
        said_at=moment(body.get("now"), "now") or last,
        hosts=hosts_of(labels),
    )


@register("healthchecks")
class Healthchecks(Kind):
    """Healthchecks."""

    label = "Healthchecks"
    default_level = "critical"

    def read(self, document: Any, mapping: Mapping[str, Any]) -> Batch:
        """Return what a post says."""
        body = expect_object(document, "Healthchecks")
        if "status" not in body and "check" not in body:
            raise Invalid({"status": "is missing; let the webhook of Healthchecks send $JSON as its body"})
        return read_each([body], _read)

    def steps(self) -> list[str]:
        """Return what to do over there."""
        return [
            "In the project's Integrations add a Webhook.",
            "For “Execute when a check goes down” and again for “… goes up” choose POST, paste the URL and the body "
            "below, and add the header Content-Type: application/json.",
            "Save it, press “Test!”, and choose it for the checks.",
        ]

    def snippet(self, url: str, token: str) -> str:
        """Return address, header and body."""
        return f"""URL: {url}
Request Headers: Content-Type: application/json
Request Body: {{"status": "$STATUS", "now": "$NOW", "check": $JSON}}
"""
