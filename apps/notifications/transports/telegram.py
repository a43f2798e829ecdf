"""Telegram: a message of a bot. Source: Telegram Bot API, "sendMessage", "Making requests"."""

import re
from collections.abc import Mapping
from typing import Any

from apps.core.errors import Invalid
from apps.core.fields import MASK
from apps.core.net import Response
from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import cut_utf16, joined, post, text_of, title_of

_TOKEN = re.compile(r"\d{3,20}:[A-Za-z0-9_-]{10,100}\Z")
_CHAT = re.compile(r"(-?\d{1,20}|@[A-Za-z0-9_]{4,64})\Z")


@register
class Telegram(Transport):
    """One message, without markup."""

    kind = "telegram"
    label = "Telegram"
    fields = (
        Field("token", "Bot token", required=True, secret=True, most=200, help="As BotFather gave it: 123456:ABC…"),
        Field("chat", "Chat", required=True, most=100, help="Id of the chat or group, or @name of a channel."),
        Field("topic", "Topic", "integer", least=1, most=2**31, help="Id of a topic of the group."),
        Field("server", "Server", "url", default="https://api.telegram.org"),
    )

    def clean(self, config: Mapping[str, Any]) -> None:
        """Check the forms of token and chat."""
        problems = {}
        if not _TOKEN.match(config["token"]):
            problems["config.token"] = "a bot's token looks like 123456:ABC-DEF…"
        if not _CHAT.match(config["chat"]):
            problems["config.chat"] = "give the chat's number, or the @name of a channel"
        if problems:
            raise Invalid(problems)

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once; without a parse mode every character stands for itself."""
        parts = (title_of(message), text_of(message))
        room = 4096 - len(message.url) - 2 if message.url else 4096
        text = cut_utf16("\n\n".join(part for part in parts if part), room)
        payload: dict[str, Any] = {
            "chat_id": config["chat"],
            "text": f"{text}\n\n{message.url}" if message.url else text,
            "link_preview_options": {"is_disabled": True},
            "disable_notification": message.level == "info" and message.event != "test",
        }
        if config.get("topic"):
            payload["message_thread_id"] = config["topic"]
        path = f"bot{config['token']}/sendMessage"
        shown = joined(config["server"], f"bot{MASK}/sendMessage")
        return await post(joined(config["server"], path), payload, shown=shown, secrets=[config["token"]], judge=_judge)


def _judge(answer: Response, said: Any) -> str:
    return "" if isinstance(said, dict) and said.get("ok") else "The server's answer does not say that it was sent."
