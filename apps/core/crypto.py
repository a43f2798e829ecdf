"""Sealed values: AES-256-GCM, one data key per value, wrapped by the installation's master key.

A sealed value is text, `wk1.<key id>.<wrapped data key>.<nonce and ciphertext>`. The key id names the master key, so
that a wrong key is told from a damaged value; the context (table, column and row id) is authenticated with the value,
so that a value moved to another row does not open there.
"""

import base64
import binascii
import functools
import hashlib
import os
import time
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from config import keys as key_files
from config.env import ConfigurationError

PREFIX: Final = "wk1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_CANARY_CONTEXT: Final = "core.canary"
_CANARY_TEXT: Final = "watchkeeper"


class CryptoError(Exception):
    """Base of everything that can go wrong with a sealed value."""


class BadKey(CryptoError):
    """Tell that the configured master key is missing or is not 32 bytes in base64."""


class WrongKey(CryptoError):
    """Tell that a value was sealed with a master key that is not configured.

    Args:
        key_id: the first eight hex digits of the SHA-256 of the key that would open it.
        have: ids of the configured keys.
    """

    def __init__(self, key_id: str, have: tuple[str, ...]) -> None:
        super().__init__(
            f"This value was sealed with the vault key {key_id}; the configured vault key is {', '.join(have)}. "
            f"Set VAULT_KEY (or list it in VAULT_KEYS_OLD) to the key with the id {key_id}."
        )
        self.key_id = key_id
        self.have = have


class DamagedValue(CryptoError):
    """Tell that a sealed value is malformed, was altered, or belongs to another row."""


def generate_key() -> str:
    """Return a new master key, ready for VAULT_KEY."""
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def key_id(key: bytes) -> str:
    """Return the public name of a master key."""
    return hashlib.sha256(key).hexdigest()[:8]


def id_of_key(text: str) -> str:
    """Return the id of a key as it stands in VAULT_KEY.

    Raises:
        BadKey: it is malformed.
    """
    return key_id(_decode_key("VAULT_KEYS_OLD", text))


def current_key_id() -> str:
    """Return the id of the master key that new values are sealed with.

    Raises:
        BadKey: VAULT_KEY is missing or malformed.
    """
    return next(iter(_keys()))


def seal(plaintext: str, context: str) -> str:
    """Seal a text for one place.

    Args:
        context: where the value lives, `table.column:row id`; the same text opens it again.

    Raises:
        BadKey: VAULT_KEY is missing or malformed.
    """
    name, master = next(iter(_keys().items()))
    data_key = AESGCM.generate_key(bit_length=256)
    wrapped = _encrypt(master, data_key, f"{PREFIX}.{name}.key")
    body = _encrypt(AESGCM(data_key), plaintext.encode(), f"{PREFIX}.{name}.{context}")
    return f"{PREFIX}.{name}.{_encode(wrapped)}.{_encode(body)}"


def unseal(token: str, context: str) -> str:
    """Open a sealed text.

    Raises:
        WrongKey: it was sealed with a key that is not configured; `key_id` names it.
        DamagedValue: it is malformed, was altered, or was sealed for another context.
        BadKey: VAULT_KEY is missing or malformed.
    """
    name, wrapped, body = _split(token)
    keys = _keys()
    master = keys.get(name)
    if master is None:
        # Another process may have been given a new key a moment ago.
        keys = _keys(at_once=True)
        master = keys.get(name)
    if master is None:
        raise WrongKey(name, tuple(keys))
    try:
        data_key = _decrypt(master, wrapped, f"{PREFIX}.{name}.key")
        return _decrypt(AESGCM(data_key), body, f"{PREFIX}.{name}.{context}").decode()
    except (InvalidTag, ValueError) as error:
        raise DamagedValue("A sealed value was altered, or was copied from another row.") from error


def is_sealed(text: str) -> bool:
    """Return whether a text has the form of a sealed value (it need not open)."""
    try:
        _split(text)
    except DamagedValue:
        return False
    return True


def sealed_key_id(token: str) -> str:
    """Return the id of the master key a value was sealed with.

    Raises:
        DamagedValue: it is not a sealed value.
    """
    return _split(token)[0]


def make_canary() -> str:
    """Return a sealed constant; kept in the database, it proves at each start that the key is the right one."""
    return seal(_CANARY_TEXT, _CANARY_CONTEXT)


def check_canary(token: str) -> bool:
    """Return True if the configured keys open the canary.

    Raises:
        WrongKey: the data was sealed with another key.
        DamagedValue: the canary was altered.
        BadKey: VAULT_KEY is missing or malformed.
    """
    if unseal(token, _CANARY_CONTEXT) != _CANARY_TEXT:
        raise DamagedValue("The vault's canary holds something else than it should.")
    return True


def known_key_ids() -> list[str]:
    """Return the ids of the keys that open values here, the current one first.

    Raises:
        BadKey: a key is missing or malformed.
    """
    return list(_keys(at_once=True))


class _KeyFile:
    """Another key that was put into the key file after this process began; looked for once a second."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        self._path: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._found: tuple[str, tuple[str, ...]] | None = None

    def replaced(self, path: Path, at_start: str, *, at_once: bool) -> tuple[str, tuple[str, ...]] | None:
        """Return the key that is in the file now and the former ones; None where it is the one of the start."""
        now = time.monotonic()
        if path == self._path and not at_once and now - self._looked_at < LOOK_EVERY_S:
            return self._found
        if path != self._path:
            self._path, self._stamp, self._found = path, None, None
        self._looked_at = now
        try:
            facts = path.stat()
            stamp = (facts.st_ino, facts.st_mtime_ns)
            if stamp != self._stamp:
                text = path.read_text().strip()
                former = key_files.former_vault_keys(path.parent.parent)
                self._found = (text, (*former, at_start)) if text and text != at_start else None
                self._stamp = stamp
        except (OSError, ConfigurationError):
            pass  # what is known stays in force
        return self._found


LOOK_EVERY_S: Final = 1.0
_key_file = _KeyFile()


def _keys(*, at_once: bool = False) -> dict[str, AESGCM]:
    """Return the configured keys by id, the current one first."""
    current = getattr(settings, "VAULT_KEY", "") or ""
    old = tuple(getattr(settings, "VAULT_KEYS_OLD", None) or ())
    path, at_start = getattr(settings, "VAULT_KEY_FILE", None), getattr(settings, "VAULT_KEY_AT_START", "")
    # A process that was given a key of its own has nothing to do with the file.
    if path is not None and current == at_start:
        replaced = _key_file.replaced(path, at_start, at_once=at_once)
        if replaced is not None:
            current, old = replaced[0], (*replaced[1], *old)
    return _load_keys(current, old)


@functools.lru_cache(maxsize=8)
def _load_keys(current: str, old: tuple[str, ...]) -> dict[str, AESGCM]:
    if not current:
        raise BadKey("VAULT_KEY is not set.")
    keys: dict[str, AESGCM] = {}
    for variable, text in [("VAULT_KEY", current), *(("VAULT_KEYS_OLD", text) for text in old)]:
        raw = _decode_key(variable, text)
        keys.setdefault(key_id(raw), AESGCM(raw))
    return keys


def _decode_key(variable: str, text: str) -> bytes:
    # Both alphabets are accepted: `openssl rand -base64 32` and Python's token_urlsafe make different ones.
    compact = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        raw = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey(f"{variable} is not base64.") from error
    if len(raw) != _KEY_BYTES:
        raise BadKey(f"{variable} must be {_KEY_BYTES} bytes in base64, not {len(raw)}.")
    return raw


def _encrypt(key: AESGCM, data: bytes, context: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, data, context.encode())


def _decrypt(key: AESGCM, data: bytes, context: str) -> bytes:
    return key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _split(token: str) -> tuple[str, bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 4 or parts[0] != PREFIX or len(parts[1]) != 8:
        raise DamagedValue("This is not a sealed value.")
    try:
        wrapped, body = (
            base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True) for part in parts[2:]
        )
    except (binascii.Error, ValueError) as error:
        raise DamagedValue("This is not a sealed value.") from error
    return parts[1], wrapped, body
