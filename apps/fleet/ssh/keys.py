"""Host keys as text and fingerprint, and private keys from what people paste."""

import base64
import binascii
import hashlib
import io
import re
from dataclasses import dataclass

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

_TYPE = re.compile(r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521))")
RSA_BITS_LEAST = 2048


class KeyFault(ValueError):
    """A key can't be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A machine's public key."""

    type: str
    blob: str  # base64

    @property
    def text(self) -> str:
        """Return it as known_hosts writes it, without the host."""
        return f"{self.type} {self.blob}"

    @property
    def fingerprint(self) -> str:
        """Return it as ssh shows it: SHA256 and base64 without padding."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def parse_host_key(text: str) -> HostKey:
    """Return the key of a line as in known_hosts, in a `.pub` file or of ssh-keyscan; the host before it is optional.

    Raises:
        KeyFault: it is none.
    """
    words = text.split()
    for place, word in enumerate(words[:-1]):
        if _TYPE.fullmatch(word):
            blob = words[place + 1]
            try:
                data = base64.b64decode(blob, validate=True)
            except binascii.Error as error:
                raise KeyFault("the part after the key's type is not base64; copy the whole line") from error
            size = int.from_bytes(data[:4], "big")
            if data[4 : 4 + size].decode("ascii", "replace") != word or len(data) < 4 + size + 32:
                raise KeyFault(f"it is no whole {word} key; copy the whole line")
            return HostKey(word, blob)
    raise KeyFault("give a line like “ssh-ed25519 AAAA…”; ssh-keyscan prints it, and /etc/ssh/*.pub holds it")


def fingerprint_of(text: str) -> str:
    """Return the fingerprint of a stored key, "" for none."""
    return parse_host_key(text).fingerprint if text else ""


def load_private_key(text: str, passphrase: str = "") -> paramiko.PKey:
    """Return the private key of a text: OpenSSH or PEM; RSA, Ed25519 or ECDSA.

    Raises:
        KeyFault: it is none, its passphrase is missing or wrong, or it is of a kind that SSH servers refuse.
    """
    data = (text.strip() + "\n").replace("\r\n", "\n").encode("utf-8", "replace")
    secret = passphrase.encode() if passphrase else None
    if b"PRIVATE KEY-----" not in data:
        if data.startswith((b"ssh-", b"ecdsa-")):
            raise KeyFault("this is the public half; give the private key, which begins with “-----BEGIN”")
        if data.startswith(b"PuTTY-User-Key-File"):
            raise KeyFault("this is a key of PuTTY; export it in OpenSSH's form (puttygen key.ppk -O private-openssh)")
        raise KeyFault("give the whole private key, from “-----BEGIN” to the last line")
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    key: object
    try:
        key = load(data, secret)
    except TypeError as error:
        # Both libraries say by type that a passphrase is missing, or given for a key that has none.
        if secret is not None:
            key = _without_passphrase(data)
        else:
            raise KeyFault("the key is protected; give its passphrase") from error
    except UnsupportedAlgorithm as error:
        raise KeyFault(f"keys of this kind can't be used: {error}") from error
    except ValueError as error:
        if secret is not None:
            raise KeyFault("the passphrase is wrong, or the key is damaged") from error
        if "ENCRYPTED" in data.decode("ascii", "replace") or "password" in str(error).lower():
            raise KeyFault("the key is protected; give its passphrase") from error
        raise KeyFault("the key is damaged; copy the whole file") from error
    return _for_ssh(key)


def _without_passphrase(data: bytes) -> object:
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        return load(data, None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyFault("the key can't be opened with this passphrase") from error


def _for_ssh(key: object) -> paramiko.PKey:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < RSA_BITS_LEAST:
            raise KeyFault(f"RSA keys need at least {RSA_BITS_LEAST} bits; this one has {key.key_size}")
        kind: type[paramiko.PKey] = paramiko.RSAKey
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        kind = paramiko.Ed25519Key
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind = paramiko.ECDSAKey
    else:
        raise KeyFault("use an Ed25519, RSA or ECDSA key; servers refuse others")
    opened = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    try:
        return kind.from_private_key(io.StringIO(opened))
    except paramiko.SSHException as error:
        raise KeyFault("keys of this curve can't be used") from error
