"""Signatures of webhooks.

Source: Standard Webhooks 1.0: HMAC-SHA256 over "id.timestamp.body", key from a secret `whsec_` + base64.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from apps.core.errors import Invalid

PREFIX = "whsec_"


def make_secret() -> str:
    """Return a new secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def clean_secret(value: str, *, field: str = "secret") -> str:
    """Return a secret that somebody gave.

    Raises:
        Invalid: it is not `whsec_` and base64 of 24 to 64 bytes (422).
    """
    try:
        if not value.startswith(PREFIX):
            raise ValueError
        key = base64.b64decode(value[len(PREFIX) :], validate=True)
    except (ValueError, binascii.Error):
        raise Invalid({field: "must be whsec_ and base64 of 24 to 64 random bytes"}) from None
    if not 24 <= len(key) <= 64:
        raise Invalid({field: f"must hold 24 to 64 random bytes, not {len(key)}"})
    return value


def sign(message_id: str, timestamp: int, body: bytes, keys: Iterable[str]) -> str:
    """Return the value of `webhook-signature`: one signature a key, the current key first.

    Args:
        timestamp: seconds since 1970, of this attempt.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1,"
        + base64.b64encode(hmac.digest(base64.b64decode(key.removeprefix(PREFIX)), content, hashlib.sha256)).decode()
        for key in keys
    )
