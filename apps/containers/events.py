"""What is done to containers."""

from apps.core.events import declare
from apps.core.events.catalogue import ID, TEXT

_SERVER = {"server_id": ID, "slug": TEXT, "name": TEXT}
_DONE = {**_SERVER, "container_id": TEXT, "container": TEXT, "image": TEXT, "by": TEXT}

declare(
    "container.action_asked",
    doc="Somebody asked for an action of a container; what came of it is told next, unless it was refused.",
    permission="containers:view",
    fields={**_SERVER, "container": TEXT, "action": TEXT, "by": TEXT},
)
declare("container.started", doc="Somebody started a container.", permission="containers:view", fields=_DONE)
declare("container.stopped", doc="Somebody stopped a container.", permission="containers:view", fields=_DONE)
declare("container.restarted", doc="Somebody restarted a container.", permission="containers:view", fields=_DONE)
declare(
    "container.unconfirmed",
    doc="Somebody asked for an action of a container and no answer came: it may have been done.",
    permission="containers:view",
    fields={**_SERVER, "container": TEXT, "action": TEXT, "error": TEXT, "by": TEXT},
)
