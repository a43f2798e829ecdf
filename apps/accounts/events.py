"""Events of the accounts. Most are for the audit trail: a code of an admin is needed to follow them."""

from apps.core.events.catalogue import ID, INTEGER, TEXT, TEXTS, TIME_OR_NULL, declare

USER = {"user_id": ID, "username": TEXT}

declare("user.created", doc="A user was created.", permission="users:view", fields={**USER, "roles": TEXTS})
declare(
    "user.updated",
    doc="A user's profile, roles or state was changed.",
    permission="users:view",
    fields={**USER, "changed": TEXTS},
)
declare("user.disabled", doc="A user was disabled; sessions and keys ended.", permission="users:view", fields=USER)
declare("user.password_changed", doc="A user's password was set.", permission="users:view", fields=USER)
declare(
    "user.password_reset_requested",
    doc="Somebody asked for a link to set a new password.",
    permission="users:view",
    fields=USER,
)
declare("user.mfa_enabled", doc="A user set up a second factor.", permission="users:view", fields=USER)
declare("user.mfa_disabled", doc="A user's second factor was removed.", permission="users:view", fields=USER)
declare(
    "user.recovery_code_used",
    doc="A recovery code stood in for the second factor.",
    permission="users:view",
    fields={**USER, "left": INTEGER},
)
declare(
    "user.logged_in",
    doc="A user logged in.",
    permission="sessions:view",
    fields={**USER, "session_id": ID, "kind": TEXT},
)
declare(
    "user.login_refused",
    doc="A login was refused; the name is given only where there is such a user.",
    permission="sessions:view",
    fields={"username": TEXT, "reason": TEXT},
)
declare(
    "session.ended",
    doc="A session ended: logged out, ended by an admin, or its refresh token was used twice.",
    permission="sessions:view",
    fields={**USER, "session_id": ID, "reason": TEXT},
)
declare("role.created", doc="A role was created.", permission="users:view", fields={"role": TEXT, "permissions": TEXTS})
declare("role.updated", doc="A role was changed.", permission="users:view", fields={"role": TEXT, "permissions": TEXTS})
declare("role.deleted", doc="A role was deleted.", permission="users:view", fields={"role": TEXT})
declare(
    "api_key.created",
    doc="An API key was created.",
    permission="api_keys:manage",
    fields={"key_id": ID, "name": TEXT, "prefix": TEXT, "owner": TEXT, "role": TEXT, "expires_at": TIME_OR_NULL},
)
declare(
    "api_key.revoked",
    doc="An API key was revoked.",
    permission="api_keys:manage",
    fields={"key_id": ID, "name": TEXT, "prefix": TEXT, "owner": TEXT},
)
declare(
    "ip_rules.changed",
    doc="The allow and block lists were replaced.",
    permission="security:view",
    fields={"rules": INTEGER},
)
