"""Events of endpoint monitors."""

from apps.core.events.catalogue import (
    ID,
    ID_OR_NULL,
    INTEGER,
    INTEGER_OR_NULL,
    LIVE,
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    TIME,
    declare,
)

_NAMED = {"endpoint_id": ID, "name": TEXT}

for _name, _doc in (
    ("endpoint.created", "An endpoint monitor was added."),
    ("endpoint.updated", "An endpoint monitor was changed."),
    ("endpoint.deleted", "An endpoint monitor was removed."),
    ("endpoint.paused", "An endpoint monitor was paused: it is not checked and no uptime is lost."),
    ("endpoint.resumed", "An endpoint monitor was resumed: it is checked at once."),
):
    declare(_name, doc=_doc, permission="endpoints:view", fields=_NAMED)

declare(
    "endpoint.check_result",
    kind=LIVE,
    doc="An endpoint was checked. `up` is null where the platform could not tell.",
    permission="endpoints:view",
    fields={
        **_NAMED,
        "status": TEXT,
        "up": {"type": ["boolean", "null"]},
        "latency_ms": NUMBER_OR_NULL,
        "status_code": INTEGER_OR_NULL,
        "error": TEXT,
        "at": TIME,
    },
)
declare(
    "endpoint.alert",
    doc="An endpoint is down or degraded: as many checks in a row say so as its failure threshold asks for.",
    permission="endpoints:view",
    fields={
        **_NAMED,
        "target": TEXT,
        "status": {"enum": ["down", "degraded"]},
        "level": {"enum": ["warning", "critical"]},
        "consecutive_failures": INTEGER,
        "threshold": INTEGER,
        "last_error": TEXT,
        "since": TIME,
        "latency_ms": NUMBER_OR_NULL,
    },
)
declare(
    "endpoint.recovery",
    doc="An endpoint is up again: so say as many checks in a row as its recovery threshold asks for.",
    permission="endpoints:view",
    fields={
        **_NAMED,
        "target": TEXT,
        "status": TEXT,
        "downtime_s": NUMBER,
        "since": TIME,
        "latency_ms": NUMBER_OR_NULL,
    },
)

declare(
    "endpoint.tested",
    doc="A person tried a configuration out, saved or not. Nothing was stored or counted.",
    permission="endpoints:view",
    fields={"endpoint_id": ID_OR_NULL, "name": TEXT, "endpoint_type": TEXT, "target": TEXT, "status": TEXT},
)
declare(
    "endpoint.checked",
    doc="A person had an endpoint checked at once. The result counts neither for uptime nor for alerts.",
    permission="endpoints:view",
    fields={**_NAMED, "status": TEXT},
)
