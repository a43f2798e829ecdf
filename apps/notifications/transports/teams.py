"""Microsoft Teams: a webhook of the Workflows app with an adaptive card.

Source: Microsoft, "Create incoming webhooks with Workflows", "Adaptive Cards schema 1.4".
"""

from collections.abc import Mapping
from typing import Any

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import cut, cut_bytes, hidden, parts_of, post, text_of, title_of

MOST_LINES = 60  # a card has at most 28 kB, and each line a frame of its own
_STYLES = {"critical": "Attention", "warning": "Warning", "info": "Accent"}


@register
class Teams(Transport):
    """One card."""

    kind = "teams"
    label = "Microsoft Teams"
    fields = (
        Field("url", "Workflow URL", "url", required=True, secret=True,
              help="Of a workflow “Post to a channel when a webhook request is received”."),
    )  # fmt: skip

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once. Text runs know no markup and no mentions, unlike text blocks."""
        colour = "Good" if message.is_over else _STYLES.get(message.level, "Accent")
        body = [_runs(cut(title_of(message), 500), color=colour, weight="Bolder", size="Medium")]
        lines = [line for line in cut_bytes(text_of(message), 12000).split("\n") if line.strip()]
        body += [_runs(line) for line in [*lines[:MOST_LINES], *(["…"] if len(lines) > MOST_LINES else [])]]
        card: dict[str, Any] = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            "body": body,
        }
        if message.url:
            card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in Watchkeeper", "url": message.url}]
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        payload = {"type": "message", "attachments": [attachment]}
        return await post(config["url"], payload, shown=hidden(config["url"]), secrets=parts_of(config["url"]))


def _runs(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
