"""Is every part there? Answers for /readyz, the settings page and `doctor`."""

import time
from collections.abc import Callable

import redis
from django.db import connection

from apps.core import bell
from apps.core.models import Condition
from apps.core.registries import Health, health_parts


def _timed(probe: Callable[[], str]) -> Health:
    began = time.perf_counter()
    try:
        detail = probe()
    except Exception as error:
        return Health("down", f"{type(error).__name__}: {error}"[:200])
    return Health("ok", detail, round((time.perf_counter() - began) * 1000, 2))


def check_database() -> Health:
    """Ask the database for a row."""

    def probe() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        return connection.vendor

    return _timed(probe)


def check_redis() -> Health:
    """Ping Redis: broker, bell and cache."""

    def probe() -> str:
        bell.client().ping()
        return "answers"

    try:
        return _timed(probe)
    except redis.RedisError as error:
        return Health("down", str(error)[:200])


def check_bell() -> Health:
    """Return whether a message rung would reach other processes: the channel layer."""

    def probe() -> str:
        bell.client().publish("wk:probe", "")
        return "publishes"

    return _timed(probe)


def all_parts() -> dict[str, Health]:
    """Return every registered part's health by name."""
    return {name: probe() for name, probe in health_parts.items()}


def check_conditions() -> Health:
    """Say what is wrong with the platform itself."""
    messages = list(Condition.objects.filter(ended_at__isnull=True).order_by("since").values_list("message", flat=True))
    return Health("degraded", " ".join(messages)) if messages else Health("ok", "Everything that is due is looked at.")


health_parts.register("watching", check_conditions)
health_parts.register("database", check_database)
health_parts.register("redis", check_redis)
health_parts.register("broker", check_redis)
health_parts.register("channel_layer", check_bell)
