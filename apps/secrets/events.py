"""Events of the vault. None of them holds a value."""

from apps.core.events.catalogue import ID, INTEGER, TEXT, TIME, TIME_OR_NULL, declare

_SECRET = {"secret_id": ID, "name": TEXT, "category": TEXT, "version": INTEGER}

for _name, _doc in (
    ("secret.created", "A secret was put into the vault."),
    ("secret.updated", "A secret's name, category, description, end or grace was changed."),
    ("secret.deleted", "A secret was removed with all its values."),
):
    declare(_name, doc=_doc, permission="secrets:view", fields=_SECRET)
declare(
    "secret.rotated",
    doc="A secret got a new value; the former one stays readable until its grace is over.",
    permission="secrets:view",
    fields={**_SECRET, "former_until": TIME_OR_NULL},
)
declare(
    "secret.revealed",
    doc="A person or key had a secret's value shown.",
    permission="secrets:view",
    fields=_SECRET,
)
declare(
    "secret.used",
    doc="The platform used a secret for somebody; told at most once an hour for one purpose, counted always.",
    permission="secrets:view",
    fields={**_SECRET, "purpose": TEXT, "times": INTEGER},
)
_END = {**_SECRET, "expires_at": TIME, "message": TEXT}
declare("secret.expiring", doc="A secret ends soon; told once.", permission="secrets:view", fields=_END)
declare("secret.expired", doc="A secret's end has come; told once.", permission="secrets:view", fields=_END)
declare(
    "vault.rekeyed",
    doc="Sealed values were sealed anew with the present vault key.",
    permission="secrets:view",
    fields={"key_id": TEXT, "values": INTEGER, "left": INTEGER, "broken": INTEGER},
)
declare(
    "vault.key_replaced",
    doc="The installation has a new vault key; the former one opens what it sealed until it is retired.",
    permission="secrets:view",
    fields={"key_id": TEXT, "former_key_id": TEXT},
)
