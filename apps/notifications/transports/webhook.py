"""Webhook: a signed POST of the payload as JSON."""

import time
from collections.abc import Mapping
from typing import Any

from apps.core.fields import MASK
from apps.core.net import NetError, Purpose, request
from apps.notifications.signing import clean_secret, sign
from apps.notifications.transports.base import EXCERPT_BYTES, Field, Message, Outcome, Transport, excerpt, register
from apps.notifications.transports.posting import retry_after, rounded

TIMEOUT_S = 15.0


@register
class Webhook(Transport):
    """Source: Standard Webhooks 1.0."""

    kind = "webhook"
    label = "Webhook"
    fields = (
        Field("url", "URL", "url", required=True, help="Gets a POST with JSON for every message."),
        Field("headers", "Headers", "headers", help="Sent along, e.g. Authorization."),
        Field("secret", "Signing secret", secret=True, help="whsec_ and base64; signs every message."),
    )

    def clean(self, config: Mapping[str, Any]) -> None:
        """Check the form of the secret."""
        if config.get("secret"):
            clean_secret(config["secret"], field="config.secret")

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """POST once; 2xx is success, redirects are not followed.

        Args:
            config: besides the fields, `previous_secret` while a secret is being rotated.
        """
        timestamp = int(time.time())
        keys = [config[name] for name in ("secret", "previous_secret") if config.get(name)]
        headers = {
            **config.get("headers", {}),
            "Content-Type": "application/json",
            "User-Agent": "Watchkeeper",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
        }
        shown = {name: MASK if name in config.get("headers", {}) else value for name, value in headers.items()}
        if keys:
            headers["webhook-signature"] = sign(message.id, timestamp, message.body, keys)
            shown["webhook-signature"] = " ".join(f"v1,{MASK}" for _ in keys)
        sent = {"method": "POST", "url": config["url"], "headers": shown}
        try:
            answer = await request(
                "POST",
                config["url"],
                purpose=Purpose.DELIVER,
                headers=headers,
                body=message.body,
                timeout_s=TIMEOUT_S,
                max_body_bytes=EXCERPT_BYTES,
            )
        except NetError as error:
            return Outcome(ok=False, latency_ms=rounded(error.phases.total_ms), error=error.message[:500], request=sent)
        return Outcome(
            ok=answer.ok,
            status_code=answer.status,
            latency_ms=rounded(answer.phases.total_ms),
            response=excerpt(answer.text()),
            error="" if answer.ok else f"The other side answered {answer.status} {answer.reason}".strip() + ".",
            retry_after_s=None if answer.ok else retry_after(answer),
            gone=answer.status == 410,
            request=sent,
        )
