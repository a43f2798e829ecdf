"""Gotify: a message of an application. Source: Gotify API, "POST /message"."""

from collections.abc import Mapping
from typing import Any

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import cut, joined, post, text_of, title_of

_PRIORITIES = {"critical": 8, "warning": 5, "info": 2}


@register
class Gotify(Transport):
    """One message."""

    kind = "gotify"
    label = "Gotify"
    fields = (
        Field("server", "Server", "url", required=True, help="Address of your Gotify."),
        Field("token", "Application token", required=True, secret=True, most=200),
    )

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once, as plain text."""
        extras: dict[str, Any] = {"client::display": {"contentType": "text/plain"}}
        if message.url:
            extras["client::notification"] = {"click": {"url": message.url}}
        payload = {
            "title": cut(title_of(message), 250),
            "message": cut(text_of(message) or title_of(message), 10000),
            "priority": 4 if message.is_over else _PRIORITIES.get(message.level, 5),
            "extras": extras,
        }
        url = joined(config["server"], "message")
        return await post(url, payload, shown=url, headers={"X-Gotify-Key": config["token"]}, secrets=[config["token"]])
