"""What several services of the accounts share."""

from uuid import UUID

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.permissions import ADMIN
from apps.accounts.principals import includes
from apps.core import bell
from apps.core.errors import Conflict, Forbidden
from apps.core.events import Subject
from apps.core.principals import Principal


def subject_of(user: User) -> Subject:
    """Return a user as the subject of an event."""
    return Subject("user", str(user.id), user.username)


def facts_of(user: User) -> dict[str, str]:
    """Return what every event about a user tells."""
    return {"user_id": str(user.id), "username": user.username}


def announce_rights() -> None:
    """Make every process look at sessions and rights again once the transaction has committed."""
    transaction.on_commit(lambda: bell.ring(bell.SETTINGS))


def take_turn() -> None:
    """Let one change of users and roles happen at a time, until the transaction ends.

    Without it two admins could demote each other at once. SQLite has one writer anyway; PostgreSQL locks this one row.
    """
    list(Role.objects.select_for_update().filter(name=ADMIN).values_list("name"))


def require_admin_remains() -> None:
    """Refuse a change after which nobody could administer; call it after the change, in its transaction.

    Raises:
        Conflict: no enabled user holds "*" any more (409).
    """
    all_powerful = [role.name for role in Role.objects.all() if "*" in role.permissions]
    if not User.objects.filter(disabled=False, roles__in=all_powerful).exists():
        raise Conflict("This is the last enabled admin; make somebody else an admin first.", code="last_admin")


def require_person(actor: Principal) -> UUID:
    """Refuse what concerns a person's own account to programs.

    Returns:
        The person's id.

    Raises:
        Forbidden: the caller is an API key (403).
    """
    if actor.kind != "user" or actor.user_id is None:
        raise Forbidden("An API key can't do this; log in as a person.", code="person_required")
    return actor.user_id


def require_held(codes: frozenset[str], actor: Principal) -> None:
    """Refuse to grant what the actor does not hold.

    Raises:
        Forbidden: some code is beyond the actor's own rights (403).
    """
    if not includes(actor.permissions, codes):
        raise Forbidden("Nobody can grant more rights than they hold.", code="beyond_own_rights")


def require_reach(user: User, actor: Principal) -> None:
    """Refuse to change a user who holds more than the actor: a new password or email would hand those rights over.

    Raises:
        Forbidden: the user's rights are beyond the actor's own (403).
    """
    if str(user.id) != actor.id and not includes(actor.permissions, user.permission_codes()):
        raise Forbidden(
            "This user holds rights that you don't; somebody with these rights must do it.", code="beyond_own_rights"
        )
