"""Discord: a channel's webhook. Source: Discord, "Execute Webhook", "Embed limits", "Allowed mentions"."""

import re
from collections.abc import Mapping
from typing import Any

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import colour_of, cut, hidden, parts_of, post, text_of, title_of

_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<:-])")


@register
class Discord(Transport):
    """One embed; nobody can be mentioned."""

    kind = "discord"
    label = "Discord"
    fields = (
        Field("url", "Webhook URL", "url", required=True, secret=True,
              help="Of the channel: https://discord.com/api/webhooks/…"),
        Field("username", "Shown as", most=80, help="Watchkeeper where empty."),
    )  # fmt: skip

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once and wait for the answer."""
        embed: dict[str, Any] = {
            "title": cut(_escaped(title_of(message)), 256),
            "description": cut(_escaped(text_of(message)), 4000),
            "color": int(colour_of(message).lstrip("#"), 16),
        }
        if message.url:
            embed["url"] = message.url
        if message.at is not None:
            embed["timestamp"] = message.at.isoformat()
        payload: dict[str, Any] = {
            "username": config.get("username") or "Watchkeeper",
            "embeds": [embed],
            "allowed_mentions": {"parse": []},
        }
        url = config["url"]
        # With wait=true the answer says whether the message was kept; without it Discord says 204 to anything.
        target = f"{url}{'&' if '?' in url else '?'}wait=true"
        return await post(target, payload, shown=hidden(url), secrets=parts_of(url))


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
