"""Approval gates: an action that policy guards asks here before it acts."""

from collections.abc import Callable, Mapping
from typing import Any

from apps.core.errors import Forbidden
from apps.core.principals import Principal

Engine = Callable[[str, Mapping[str, Any], Principal], None]
_engine: Engine | None = None
_demanded: set[str] = set()


def register_engine(engine: Engine) -> None:
    """Make `engine` answer all gates; it raises where the action may not go on."""
    global _engine
    _engine = engine


def demand(action: str) -> None:
    """Say that policy demands approval for `action`, engine or none."""
    _demanded.add(action)


def require(action: str, payload: Mapping[str, Any], principal: Principal) -> None:
    """Let the action pass, or refuse it.

    Raises:
        Forbidden: policy demands approval and nobody can give it (403).
    """
    if _engine is not None:
        _engine(action, payload, principal)
    elif action in _demanded:
        raise Forbidden(
            f"{action} needs an approval, and no approval engine is installed.", code="approval_unavailable"
        )
