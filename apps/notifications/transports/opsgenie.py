"""Opsgenie: an alert is created, acknowledged and closed. Source: Opsgenie, "Alert API"."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.pagerduty import action_of
from apps.notifications.transports.posting import cut, joined, post, text_of, title_of

_PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}


@register
class Opsgenie(Transport):
    """One alert, known by its alias from its opening to its end."""

    kind = "opsgenie"
    label = "Opsgenie"
    takes_summaries = False
    note = "Each alert becomes one there and is closed with it. A test creates one and closes it at once."
    fields = (
        Field("key", "API key", required=True, secret=True, most=100, help="Of an API integration of your team."),
        Field(
            "server", "Server", "url", default="https://api.opsgenie.com", help="In Europe https://api.eu.opsgenie.com"
        ),
    )

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once; a test twice, so that nothing stays open."""
        action = action_of(message)
        outcome = await (self._create(config, message) if action == "trigger" else self._act(config, message, action))
        if outcome.ok and message.event == "test":
            return await self._act(config, message, "resolve")
        return outcome

    async def _create(self, config: Mapping[str, Any], message: Message) -> Outcome:
        link = f"\n\n{message.url}" if message.url else ""
        payload = {
            "message": cut(title_of(message), 130) or "-",
            "alias": _alias(message),
            "description": cut(text_of(message), 14000) + link,
            "priority": _PRIORITIES.get(message.level, "P3"),
            "source": "Watchkeeper",
            "entity": cut(message.subject, 512),
            "tags": [cut(tag, 50) for tag in message.tags[:20]],
            "details": {"event": message.event, "kind": message.kind},
        }
        return await self._post(config, "v2/alerts", payload)

    async def _act(self, config: Mapping[str, Any], message: Message, action: str) -> Outcome:
        word = "close" if action == "resolve" else "acknowledge"
        path = f"v2/alerts/{quote(_alias(message), safe='')}/{word}?identifierType=alias"
        return await self._post(config, path, {"source": "Watchkeeper", "note": cut(text_of(message), 20000)})

    async def _post(self, config: Mapping[str, Any], path: str, payload: Mapping[str, Any]) -> Outcome:
        url = joined(config["server"], path)
        headers = {"Authorization": f"GenieKey {config['key']}"}
        return await post(url, payload, shown=url, headers=headers, secrets=[config["key"]])


def _alias(message: Message) -> str:
    return cut(message.thread or message.id, 512)
