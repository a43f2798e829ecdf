"""Events of domains' registrations; what fails is told as any endpoint's failure."""

from apps.core.events.catalogue import BOOLEAN, ID, INTEGER, TEXT, TIME, declare

declare(
    "domain.expiring",
    doc="The registration of a watched domain ends soon: one of the days set for its monitor was passed. Each day is "
    "told once; `is_first` is true for the first of them.",
    permission="endpoints:view",
    fields={
        "endpoint_id": ID,
        "name": TEXT,
        "domain": TEXT,
        "registrar": TEXT,
        "expires_at": TIME,
        "days_left": INTEGER,
        "warn_day": INTEGER,
        "is_first": BOOLEAN,
        "message": TEXT,
    },
)
