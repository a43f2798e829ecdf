"""ntfy: a push to a topic. Source: ntfy, "Publish as JSON"."""

import re
from collections.abc import Mapping
from typing import Any

from apps.core.errors import Invalid
from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import cut_bytes, post, text_of, title_of

_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}\Z")
_PRIORITIES = {"critical": 5, "warning": 4, "info": 3}
_TAGS = {"critical": "rotating_light", "warning": "warning", "info": "information_source"}


@register
class Ntfy(Transport):
    """One push."""

    kind = "ntfy"
    label = "ntfy"
    fields = (
        Field("topic", "Topic", required=True, secret=True, most=64,
              help="Whoever knows a topic of a public server reads it: choose one that can't be guessed."),
        Field("token", "Access token", secret=True, most=200, help="tk_…; only where the topic is protected."),
        Field("server", "Server", "url", default="https://ntfy.sh"),
    )  # fmt: skip

    def clean(self, config: Mapping[str, Any]) -> None:
        """Check the form of the topic."""
        if not _TOPIC.match(config["topic"]):
            raise Invalid({"config.topic": "letters, digits, - and _, at most 64"})

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once; a longer text would become an attachment."""
        payload = {
            "topic": config["topic"],
            "title": cut_bytes(title_of(message), 250),
            "message": cut_bytes(text_of(message) or title_of(message), 4000),
            "priority": 3 if message.is_over else _PRIORITIES.get(message.level, 3),
            "tags": ["white_check_mark" if message.is_over else _TAGS.get(message.level, "information_source")],
        }
        if message.url:
            payload["click"] = message.url
        headers = {"Authorization": f"Bearer {config['token']}"} if config.get("token") else {}
        secrets = [config["topic"], config.get("token", "")]
        return await post(config["server"], payload, shown=config["server"], headers=headers, secrets=secrets)
