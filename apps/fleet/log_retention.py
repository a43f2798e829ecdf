"""How many log lines are taken and kept, for how long, and how they are pruned."""

import time

from django.db import connection, models, transaction
from django.db.models import Sum

from apps.core import runtime_settings
from apps.core.registries import Keep, keeps
from apps.fleet.models import LogEntry, LogState, Server
from apps.fleet.models.logs import ID_BITS

DAY_S = 86400
MIB = 1 << 20
#: Rows that one transaction deletes; on SQLite nobody else writes meanwhile.
ROWS_AT_ONCE = {"sqlite": 500, "postgresql": 5000}

runtime_settings.declare(
    "retention", "logs", "duration", 7 * DAY_S, "How long log lines are kept.", least=3600, most=3650 * DAY_S
)
runtime_settings.declare(
    "retention",
    "logs_mib_per_server",
    "int",
    2048,
    "MiB of log lines kept of one server; the oldest go first. 0: no limit.",
    least=0,
    most=10**8,
)
runtime_settings.declare(
    "retention",
    "logs_mib",
    "int",
    20480,
    "MiB of log lines kept of all servers together; the oldest go first. 0: no limit.",
    least=0,
    most=10**8,
)

runtime_settings.declare(
    "limits",
    "log_bytes_per_minute",
    "int",
    256 * 1024 * 1024,
    "Bytes of log lines that one key may send in a minute.",
    least=1024,
    most=10**12,
)

_TABLE = LogEntry._meta.db_table


def prune_logs(limit: int) -> int:
    """Delete at most `limit` lines: those past their time, of servers that are gone, and what is over the limits.

    Returns:
        How many went; fewer than `limit` once nothing is over.
    """
    before = (time.time_ns() // 1_000_000 - int(runtime_settings.get("retention.logs") * 1000)) << ID_BITS
    gone = _delete("id < %s", [before], limit)
    if gone < limit:
        gone += _prune_unknown(limit - gone)
    if gone < limit:
        gone += _prune_large(limit - gone)
    return gone


def _delete(condition: str, parameters: list[int], limit: int) -> int:
    """Delete the oldest lines for which `condition` holds, and count them off."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {_TABLE} WHERE id IN "
                f"(SELECT id FROM {_TABLE} WHERE {condition} ORDER BY id LIMIT %s) RETURNING num, size",
                [*parameters, limit],
            )
            rows = cursor.fetchall()
        sums: dict[int, list[int]] = {}
        for num, size in rows:
            found = sums.setdefault(num, [0, 0])
            found[0] += 1
            found[1] += size
        ids = dict(Server.objects.filter(num__in=list(sums)).values_list("num", "id"))
        for server_id, num in sorted((server_id, num) for num, server_id in ids.items()):
            lines, size = sums[num]
            LogState.objects.filter(server_id=server_id).update(
                lines=models.F("lines") - lines, bytes=models.F("bytes") - size
            )
    return len(rows)


def _prune_unknown(limit: int) -> int:
    known = set(Server.objects.values_list("num", flat=True))
    gone, position = 0, -1
    while gone < limit:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT min(num) FROM {_TABLE} WHERE num > %s", [position])
            num = cursor.fetchone()[0]
        if num is None:
            break
        if num not in known:
            gone += _delete("num = %s", [num], limit - gone)
        position = num
    return gone


def _prune_large(limit: int) -> int:
    gone = 0
    most = runtime_settings.get("retention.logs_mib_per_server") * MIB
    if most:
        for num in LogState.objects.filter(bytes__gt=most).values_list("server__num", flat=True):
            if gone < limit:
                gone += _delete("num = %s", [num], limit - gone)
    most = runtime_settings.get("retention.logs_mib") * MIB
    if most and gone < limit and (LogState.objects.aggregate(all=Sum("bytes"))["all"] or 0) > most:
        gone += _delete("id > %s", [-1], limit - gone)
    return gone


def prune_for(seconds: float) -> int:
    """Prune until nothing is over, or for so long; returns how many lines went."""
    end, gone, limit = time.monotonic() + seconds, 0, ROWS_AT_ONCE[connection.vendor]
    while time.monotonic() < end:
        count = prune_logs(limit)
        gone += count
        if count < limit:
            break
        time.sleep(0.01)  # lets other writers in between
    return gone


keeps.register("logs", Keep(_TABLE, "retention.logs", prune_logs, telemetry=True))
