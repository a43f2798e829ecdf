"""PagerDuty: an alert is triggered, acknowledged and resolved. Source: PagerDuty, "Events API v2"."""

from collections.abc import Mapping
from typing import Any

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import cut, joined, post, text_of, title_of

_SEVERITIES = {"critical": "critical", "warning": "warning", "info": "info"}


@register
class PagerDuty(Transport):
    """One incident an alert, known by one key from its opening to its end."""

    kind = "pagerduty"
    label = "PagerDuty"
    takes_summaries = False
    note = "Each alert becomes an incident that is resolved with it. A test opens one and resolves it at once."
    fields = (
        Field(
            "key", "Integration key", required=True, secret=True, most=100, help="Of an “Events API v2” integration."
        ),
        Field("server", "Server", "url", default="https://events.pagerduty.com"),
    )

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once; a test twice, so that nothing stays open."""
        outcome = await self._enqueue(config, message, action_of(message))
        if outcome.ok and message.event == "test":
            return await self._enqueue(config, message, "resolve")
        return outcome

    async def _enqueue(self, config: Mapping[str, Any], message: Message, action: str) -> Outcome:
        payload: dict[str, Any] = {
            "routing_key": config["key"],
            "event_action": action,
            "dedup_key": cut(message.thread or message.id, 255),
        }
        if action == "trigger":
            payload["payload"] = {
                "summary": cut(title_of(message), 1024) or "-",
                "source": cut(message.subject or "watchkeeper", 255),
                "severity": _SEVERITIES.get(message.level, "warning"),
                "class": cut(message.kind, 255),
                "custom_details": {
                    "message": cut(text_of(message), 10000), "event": message.event, "tags": list(message.tags),
                },
            }  # fmt: skip
            if message.at is not None:
                payload["payload"]["timestamp"] = message.at.isoformat()
            payload["client"] = "Watchkeeper"
            if message.url:
                payload["client_url"] = message.url
                payload["links"] = [{"href": message.url, "text": "Open in Watchkeeper"}]
        url = joined(config["server"], "v2/enqueue")
        return await post(url, payload, shown=url, secrets=[config["key"]])


def action_of(message: Message) -> str:
    """Return what a message means to a service that keeps alerts: "trigger", "acknowledge" or "resolve"."""
    if message.is_over:
        return "resolve"
    return "acknowledge" if message.event in ("alert.acknowledged", "alert.silenced") else "trigger"
