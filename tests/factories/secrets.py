"""Secrets for tests."""

from itertools import count
from typing import Any

from apps.core.principals import system
from apps.secrets.models import Secret
from apps.secrets.services import create_secret

_numbers = count(1)


def make_secret(name: str = "", value: str | None = "correct-horse-battery", **more: Any) -> Secret:
    """Return a secret with that value."""
    return create_secret(actor=system("test"), name=name or f"Secret {next(_numbers)}", value=value, **more)
