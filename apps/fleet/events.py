"""What happens to servers."""

from apps.core.events import LIVE, declare
from apps.core.events.catalogue import ID, INTEGER_OR_NULL, NUMBER_OR_NULL, OBJECT, TEXT, TIME, TIME_OR_NULL

_SERVER = {"server_id": ID, "slug": TEXT, "name": TEXT}
_PRESENCE = {**_SERVER, "last_seen": TIME_OR_NULL}

declare("server.created", doc="A server was added.", permission="servers:view", fields=_SERVER)
declare("server.updated", doc="A server was changed.", permission="servers:view", fields=_SERVER)
declare("server.deleted", doc="A server was removed.", permission="servers:view", fields=_SERVER)
declare(
    "server.online",
    doc="A server sent its first sample, or one after a silence.",
    permission="servers:view",
    fields=_PRESENCE,
)
declare("server.offline", doc="A server has been silent for too long.", permission="servers:view", fields=_PRESENCE)
declare(
    "metrics.exported",
    doc="Somebody exported a server's metrics.",
    permission="audit:view",
    fields={**_SERVER, "format": TEXT, "resolution": TEXT, "from": TIME, "to": TIME},
)
declare(
    "server.sample",
    doc="A server's newest figures.",
    permission="servers:view",
    kind=LIVE,
    fields={
        "server_id": ID,
        "slug": TEXT,
        "at": TIME,
        "cpu_percent": NUMBER_OR_NULL,
        "memory_percent": NUMBER_OR_NULL,
        "swap_percent": NUMBER_OR_NULL,
        "disk_percent": NUMBER_OR_NULL,
        "rx_rate": NUMBER_OR_NULL,
        "tx_rate": NUMBER_OR_NULL,
        "load1": NUMBER_OR_NULL,
        "temperature": NUMBER_OR_NULL,
        "connections": INTEGER_OR_NULL,
        "processes": INTEGER_OR_NULL,
    },
)
declare(
    "server.snapshot",
    doc="A server's newest whole snapshot, while somebody follows it.",
    permission="servers:view",
    kind=LIVE,
    fields={"server_id": ID, "slug": TEXT, "at": TIME, "snapshot": OBJECT},
)
