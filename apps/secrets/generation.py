"""Values that the vault makes: random texts and key pairs."""

import math
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from apps.core.errors import Invalid

#: Name of an alphabet -> its characters.
ALPHABETS: Mapping[str, str] = {
    "letters_digits": string.ascii_letters + string.digits,
    "readable": "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789",  # nothing that is read for something else
    "symbols": string.ascii_letters + string.digits + "!#$%&()*+,-./:;<=>?@[]^_{|}~",
    "hex": "0123456789abcdef",
    "digits": string.digits,
}
RANDOM, ED25519, RSA = "random", "ed25519", "rsa"
KINDS = (RANDOM, ED25519, RSA)
RSA_BITS = (2048, 3072, 4096)
LEAST_LENGTH, MOST_LENGTH = 8, 1024
DEFAULT: Mapping[str, Any] = {"kind": RANDOM, "length": 32, "alphabet": "letters_digits"}


@dataclass(frozen=True, slots=True, repr=False)
class Made:
    """A value that was made; `public` is the part of a key pair that everybody may have."""

    value: str
    public: str = ""

    def __repr__(self) -> str:
        return "<a generated value>"


def cleaned_generator(given: Any, *, field: str = "generate") -> dict[str, Any]:
    """Return how a value is made, complete.

    Args:
        given: `kind` (random, ed25519, rsa); of random ones `length` (8 to 1024) and `alphabet` (a name or the
            characters themselves); of RSA `bits` (2048, 3072, 4096).

    Raises:
        Invalid: something of it is wrong (422).
    """
    if not isinstance(given, Mapping):
        raise Invalid({field: 'give an object such as {"kind": "random", "length": 32}'})
    kind = given.get("kind", RANDOM)
    if kind not in KINDS:
        raise Invalid({f"{field}.kind": f"give one of {', '.join(KINDS)}"})
    allowed = {RANDOM: ("kind", "length", "alphabet"), RSA: ("kind", "bits"), ED25519: ("kind",)}[kind]
    problems = {f"{field}.{name}": f"is nothing that {kind} takes" for name in given if name not in allowed}
    found: dict[str, Any] = {"kind": kind}
    if kind == RANDOM:
        found |= _random_of(given, field, problems)
    elif kind == RSA:
        found["bits"] = given.get("bits") or 3072
        if found["bits"] not in RSA_BITS:
            problems[f"{field}.bits"] = f"give one of {', '.join(map(str, RSA_BITS))}"
    if problems:
        raise Invalid(problems)
    return found


def _random_of(given: Mapping[str, Any], field: str, problems: dict[str, str]) -> dict[str, Any]:
    length, alphabet = given.get("length", DEFAULT["length"]), given.get("alphabet") or DEFAULT["alphabet"]
    if isinstance(length, bool) or not isinstance(length, int) or not LEAST_LENGTH <= length <= MOST_LENGTH:
        problems[f"{field}.length"] = f"give a whole number from {LEAST_LENGTH} to {MOST_LENGTH}"
        return {}
    if not isinstance(alphabet, str) or (alphabet not in ALPHABETS and not _is_alphabet(alphabet)):
        problems[f"{field}.alphabet"] = (
            f"give one of {', '.join(ALPHABETS)}, or 10 to 200 different printable characters without blanks"
        )
        return {}
    return {"length": length, "alphabet": alphabet}


def _is_alphabet(text: str) -> bool:
    return 10 <= len(set(text)) == len(text) <= 200 and text.isprintable() and not any(one.isspace() for one in text)


def make(generator: Mapping[str, Any], *, comment: str = "") -> Made:
    """Make a value. A large RSA key takes seconds: never call it in a transaction.

    Args:
        generator: as `cleaned_generator` returns it.
        comment: stands at the end of a public key.
    """
    kind = generator.get("kind", RANDOM)
    if kind == RANDOM:
        letters = ALPHABETS.get(generator["alphabet"], generator["alphabet"])
        return Made("".join(secrets.choice(letters) for _ in range(generator["length"])))
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if kind == ED25519:
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(generator["bits"]))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return Made(private.decode(), public_line(key, comment))


def public_line(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, comment: str) -> str:
    """Return the line that goes into authorized_keys."""
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    word = "-".join(comment.split())
    return f"{line} {word}" if word else line


def public_part_of(value: str, comment: str) -> str:
    """Return the public line of a private key that a person gave; "" for everything else, also for encrypted keys."""
    if "PRIVATE KEY-----" not in value:
        return ""
    data = value.encode()
    for load in (serialization.load_ssh_private_key, serialization.load_pem_private_key):
        try:
            key = load(data, password=None)
        except (ValueError, TypeError, NotImplementedError):
            continue
        except Exception:  # noqa: S112  the library's own errors for forms that it does not know
            continue
        if isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
            return public_line(key, comment)
    return ""


def strength_of(generator: Mapping[str, Any]) -> str:
    """Return how a value is made, in words."""
    if not generator:
        return "given by a person"
    if generator["kind"] == ED25519:
        return "an Ed25519 key pair"
    if generator["kind"] == RSA:
        return f"an RSA key pair of {generator['bits']} bits"
    letters = ALPHABETS.get(generator["alphabet"], generator["alphabet"])
    bits = int(generator["length"] * math.log2(len(letters)))
    return f"{generator['length']} random characters ({bits} bits)"
