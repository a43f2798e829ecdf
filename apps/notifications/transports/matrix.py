"""Matrix: a message into a room. Source: Matrix client-server API, "PUT /rooms/{roomId}/send/{eventType}/{txnId}"."""

import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from apps.core.errors import Invalid
from apps.notifications.transports.base import Field, Message, Outcome, Transport, register
from apps.notifications.transports.posting import colour_of, cut_bytes, joined, post, text_of, title_of

MOST_BYTES = 6000  # an event has at most 64 kB, and the text is in it twice, once escaped
_ROOM = re.compile(r"![^\s:]{1,200}(:[^\s]{1,200})?\Z")


@register
class Matrix(Transport):
    """One message; a repeat carries the same transaction and is shown once."""

    kind = "matrix"
    label = "Matrix"
    fields = (
        Field("server", "Homeserver", "url", required=True, help="https://matrix.example.org"),
        Field("token", "Access token", required=True, secret=True, most=500),
        Field("room", "Room", required=True, most=400, help="The room's internal id: !abc:example.org"),
    )

    def clean(self, config: Mapping[str, Any]) -> None:
        """Check the form of the room's id."""
        if not _ROOM.match(config["room"]):
            raise Invalid({"config.room": "give the internal id, such as !abc:example.org"})

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """PUT once; it names nobody to be called."""
        title, text = cut_bytes(title_of(message), 500), cut_bytes(text_of(message), MOST_BYTES)
        parts = [f'<strong><font color="{colour_of(message)}">{html.escape(title)}</font></strong>']
        parts += [html.escape(text).replace("\n", "<br>")] if text else []
        if message.url:
            parts.append(f'<a href="{html.escape(message.url)}">Open in Watchkeeper</a>')
        payload = {
            "msgtype": "m.text",
            "body": "\n".join(part for part in (title, text, message.url) if part),
            "format": "org.matrix.custom.html",
            "formatted_body": "<br>".join(parts),
            "m.mentions": {},
        }
        room, turn = quote(config["room"], safe=""), quote(message.id, safe="")
        url = joined(config["server"], f"_matrix/client/v3/rooms/{room}/send/m.room.message/{turn}")
        headers = {"Authorization": f"Bearer {config['token']}"}
        return await post(url, payload, shown=url, method="PUT", headers=headers, secrets=[config["token"]])
