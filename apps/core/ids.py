"""Identifiers: UUIDv7 for rows (time-sorted), random text for credentials (never time-sorted)."""

import os
import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last_ms = 0
_sequence = 0


def new_id() -> uuid.UUID:
    """Return a UUIDv7, strictly increasing within this process.

    Source: RFC 9562, section 5.7, method 1 (12-bit counter in rand_a).
    """
    global _last_ms, _sequence
    with _lock:
        now = time.time_ns() // 1_000_000
        if now > _last_ms:
            _last_ms, _sequence = now, int.from_bytes(os.urandom(2), "big") & 0x3FF
        else:
            _sequence += 1
            if _sequence > 0xFFF:
                _last_ms, _sequence = _last_ms + 1, 0
        ms, sequence = _last_ms, _sequence
    value = (ms << 80) | (0x7 << 76) | (sequence << 64) | (0b10 << 62) | (int.from_bytes(os.urandom(8), "big") >> 2)
    return uuid.UUID(int=value)


def new_secret(bytes_of_entropy: int = 32) -> str:
    """Return a random URL-safe credential."""
    return secrets.token_urlsafe(bytes_of_entropy)
