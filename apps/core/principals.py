"""Who is asking. Plain data: `accounts` makes principals, everything else only reads them."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


def grants(held: frozenset[str], code: str) -> bool:
    """Return whether the codes held ("*", "alerts:*", "alerts:view") include `code`."""
    return "*" in held or code in held or f"{code.partition(':')[0]}:*" in held


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: a person, an API key or the platform itself.

    Args:
        kind: "user", "api_key" or "system".
        id: id of the user or key; the process part for the platform.
        name: what people read in the audit trail.
        permissions: codes held now, wildcards included.
        role: the highest built-in role its rights amount to ("viewer", "operator", "admin", "agent").
        user_id: the person behind it; a key acts for its owner.
        session_id: the login it came by; None for keys.
        bound_kind, bound_id: a key bound to a thing ("server", id) sees and writes that thing alone.
        restriction: code of the refusal while its rights are cut ("mfa_enrolment_required"); "" as a rule.
    """

    kind: str
    id: str
    name: str
    permissions: frozenset[str] = field(default_factory=frozenset)
    role: str = "viewer"
    user_id: UUID | None = None
    session_id: UUID | None = None
    bound_kind: str = ""
    bound_id: str = ""
    via: str = ""
    restriction: str = ""

    # What Django REST framework asks of request.user.
    is_authenticated = True
    is_anonymous = False
    is_active = True

    def can(self, code: str) -> bool:
        """Return whether this caller holds the permission `code`."""
        return grants(self.permissions, code)

    def snapshot(self) -> dict[str, Any]:
        """Return the actor as audit rows keep it, for good."""
        data: dict[str, Any] = {"kind": self.kind, "id": self.id, "name": self.name}
        if self.user_id:
            data["user_id"] = str(self.user_id)
        if self.via:
            data["via"] = self.via
        return data

    @property
    def pk(self) -> str:
        """Key of rate limits and idempotency rows."""
        return f"{self.kind}:{self.id}"


def system(part: str) -> Principal:
    """Return the platform itself as an actor, e.g. system("monitors")."""
    return Principal(kind="system", id=part, name=f"Watchkeeper ({part})", permissions=frozenset({"*"}), role="admin")
