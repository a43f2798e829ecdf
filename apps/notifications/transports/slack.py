"""Slack: an incoming webhook. Source: Slack, "Sending messages using incoming webhooks", "Block Kit"."""

import html
from collections.abc import Mapping
from typing import Any

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import colour_of, cut, hidden, parts_of, post, text_of, title_of


@register
class Slack(Transport):
    """One message with a coloured bar."""

    kind = "slack"
    label = "Slack"
    fields = (
        Field("url", "Webhook URL", "url", required=True, secret=True,
              help="Of an incoming webhook of your Slack app: https://hooks.slack.com/services/…"),
    )  # fmt: skip

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once. Texts are plain text, in which Slack knows neither markup nor mentions."""
        title, text = title_of(message), text_of(message)
        blocks: list[dict[str, Any]] = [_block("header", _plain(title, 150))]
        if text:
            blocks.append(_block("section", _plain(text, 3000)))
        if message.url:
            link = {"type": "mrkdwn", "text": f"<{_escaped(message.url)}|Open in Watchkeeper>"}
            blocks.append({"type": "context", "elements": [link]})
        payload = {
            "text": _escaped(cut(title, 1000)),  # what notifications and old clients show
            "attachments": [{"color": colour_of(message), "fallback": _escaped(cut(title, 1000)), "blocks": blocks}],
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return await post(config["url"], payload, shown=hidden(config["url"]), secrets=parts_of(config["url"]))


def _block(kind: str, text: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "text": text}


def _plain(text: str, most: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": cut(text, most) or "-", "emoji": False}


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
