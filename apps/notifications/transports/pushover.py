"""Pushover: a push to a user or group. Source: Pushover, "Message API"."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from apps.core.net import Response
from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import cut, joined, post, text_of, title_of

_PRIORITIES = {"critical": 1, "warning": 0, "info": -1}


@register
class Pushover(Transport):
    """One push."""

    kind = "pushover"
    label = "Pushover"
    fields = (
        Field("token", "Application token", required=True, secret=True, most=100),
        Field("user", "User or group key", required=True, secret=True, most=100),
        Field("device", "Device", most=100, help="All of the user's where empty."),
        Field("server", "Server", "url", default="https://api.pushover.net"),
    )

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once; without html=1 every character stands for itself."""
        values = {
            "token": config["token"],
            "user": config["user"],
            "title": cut(title_of(message), 250),
            "message": cut(text_of(message) or title_of(message), 1024),
            "priority": str(0 if message.is_over else _PRIORITIES.get(message.level, 0)),
        }
        if message.url and len(message.url) <= 512:
            values |= {"url": message.url, "url_title": "Open in Watchkeeper"}
        if message.at is not None:
            values["timestamp"] = str(int(message.at.timestamp()))
        if config.get("device"):
            values["device"] = config["device"]
        url = joined(config["server"], "1/messages.json")
        secrets = [config["token"], config["user"]]
        return await post(url, urlencode(values).encode(), shown=url, secrets=secrets, judge=_judge)


def _judge(answer: Response, said: Any) -> str:
    accepted = isinstance(said, dict) and said.get("status") == 1
    return "" if accepted else "The server's answer does not say that it was accepted."
