"""What is kept of a random credential."""

import hashlib


def hash_secret(secret: str) -> str:
    """Return what is stored of a random credential: SHA-256, since it is long enough to need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
