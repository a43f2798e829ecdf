"""Events of certificates, watched by themselves or met by endpoint checks."""

from apps.core.events.catalogue import ID, ID_OR_NULL, INTEGER, NUMBER_OR_NULL, TEXT, TIME, TIME_OR_NULL, declare

_NAMED = {"certificate_id": ID, "endpoint_id": ID_OR_NULL, "hostname": TEXT, "port": INTEGER}

for _name, _doc in (
    ("certificate.created", "A certificate monitor was added."),
    ("certificate.updated", "A certificate monitor was changed, paused or resumed."),
    ("certificate.deleted", "A certificate monitor was removed."),
    ("certificate.checked", "A person had a certificate checked at once."),
):
    declare(_name, doc=_doc, permission="endpoints:view", fields=_NAMED)

declare(
    "certificate.alert",
    doc="A certificate ends soon, has ended, or is not to be trusted. Each warning day that is crossed is told once.",
    permission="endpoints:view",
    fields={
        **_NAMED,
        "reason": {"enum": ["expiring", "expired", "name_mismatch", "untrusted", "revoked"]},
        "days_left": NUMBER_OR_NULL,
        "not_after": TIME_OR_NULL,
        "level": {"enum": ["warning", "critical"]},
        "message": TEXT,
    },
)
declare(
    "certificate.recovery",
    doc="A certificate that was told about is in order again, or is watched no more.",
    permission="endpoints:view",
    fields={**_NAMED, "message": TEXT},
)
declare(
    "certificate.renewed",
    doc="A newer certificate has taken the place of the one that was known.",
    permission="endpoints:view",
    fields={
        **_NAMED,
        "old_fingerprint": TEXT,
        "new_fingerprint": TEXT,
        "not_after": TIME,
        "message": TEXT,
    },
)
