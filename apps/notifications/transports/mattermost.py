"""Mattermost: an incoming webhook. Source: Mattermost, "Incoming webhooks", "Message attachments"."""

import re
from collections.abc import Mapping
from typing import Any

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import colour_of, cut, hidden, parts_of, post, text_of, title_of

_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<!:-])")


@register
class Mattermost(Transport):
    """One message with a coloured bar."""

    kind = "mattermost"
    label = "Mattermost"
    fields = (
        Field("url", "Webhook URL", "url", required=True, secret=True, help="https://chat.example.org/hooks/…"),
        Field("channel", "Channel", most=100, help="The webhook's own where empty."),
    )

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once."""
        payload: dict[str, Any] = {"username": "Watchkeeper", "attachments": [attachment_of(message, 4000)]}
        if config.get("channel"):
            payload["channel"] = config["channel"]
        return await post(config["url"], payload, shown=hidden(config["url"]), secrets=parts_of(config["url"]))


def attachment_of(message: Message, most: int) -> dict[str, Any]:
    """Return a message as an attachment in the manner of Slack's old ones, markup and mentions broken."""
    title, text = cut(escaped(title_of(message)), 500), cut(escaped(text_of(message)), most)
    found = {"color": colour_of(message), "fallback": title, "title": title, "text": text}
    return {**found, "title_link": message.url} if message.url else found


def escaped(text: str) -> str:
    """Return a text in which no character is Markdown."""
    return _MARKUP.sub(r"\\\1", text)
