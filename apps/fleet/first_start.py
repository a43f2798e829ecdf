"""The first start: this host is a server before anybody asks for it, not only once its first sample is there."""

from typing import Any

from django.conf import settings

from apps.core.registries import preparations
from apps.fleet.services import ensure_local_server


def _prepare_local_server() -> dict[str, Any]:
    if settings.LOCAL_SERVER:
        ensure_local_server()
    return {}


preparations.register("fleet.local_server", _prepare_local_server)
