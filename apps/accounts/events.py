"""Events of the accounts. Most are for the audit trail: `users:view` or `security:view` is needed to follow them."""

from apps.core.events.catalogue import ID, TEXT, TEXTS, declare

USER = {"user_id": ID, "username": TEXT}

declare("user.created", doc="A user was created.", permission="users:view", fields={**USER, "roles": TEXTS})
declare("user.updated", doc="A user's profile, roles or state was changed.", permission="users:view", fields={**USER, "changed": TEXTS})
declare("user.disabled", doc="A user was disabled; sessions and keys ended.", permission="users:view", fields=USER)
