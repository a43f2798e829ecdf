"""Rocket.Chat: an incoming integration. Source: Rocket.Chat, "Incoming webhook"."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import Response
from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.mattermost import attachment_of
from apps.notifications.transports.posting import hidden, parts_of, post


@register
class RocketChat(Transport):
    """One message with a coloured bar."""

    kind = "rocketchat"
    label = "Rocket.Chat"
    fields = (
        Field("url", "Webhook URL", "url", required=True, secret=True, help="https://chat.example.org/hooks/…"),
        Field("channel", "Channel", most=100, help="The integration's own where empty."),
    )

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once."""
        payload: dict[str, Any] = {"alias": "Watchkeeper", "attachments": [attachment_of(message, 4000)]}
        if config.get("channel"):
            payload["channel"] = config["channel"]
        return await post(
            config["url"], payload, shown=hidden(config["url"]), secrets=parts_of(config["url"]), judge=_judge
        )


def _judge(answer: Response, said: Any) -> str:
    refused = isinstance(said, dict) and said.get("success") is False
    return "The server's answer says that it was not posted." if refused else ""
