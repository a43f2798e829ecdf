"""What callers with an open connection may do now."""

from collections.abc import Iterable

from apps.accounts.models import ApiKey, Session
from apps.accounts.principals import principal_of_key, principal_of_user
from apps.core.principals import Principal, system

Key = tuple[str, str]


def current_principals(keys: Iterable[Key]) -> dict[Key, Principal]:
    """Return the principals of live sessions ("session", id) and keys ("api_key", id); who is absent has no rights
    any more.

    Three queries for any number of sessions, three for keys.
    """
    wanted = set(keys)
    # The platform's own followers, e.g. the one behind the public status stream.
    found: dict[Key, Principal] = {key: system(key[1]) for key in wanted if key[0] == "system"}
    sessions = [identifier for kind, identifier in wanted if kind == "session"]
    if sessions:
        live = (
            Session.objects.live()
            .filter(id__in=sessions)
            .select_related("user", "user__totp_device")
            .prefetch_related("user__roles")
        )
        for session in live:
            found["session", str(session.id)] = principal_of_user(session.user, session)
    api_keys = [identifier for kind, identifier in wanted if kind == "api_key"]
    if api_keys:
        rows = ApiKey.objects.live().filter(id__in=api_keys).select_related("owner", "owner__totp_device")
        for key in rows.prefetch_related("owner__roles"):
            found["api_key", str(key.id)] = principal_of_key(key)
    return found
