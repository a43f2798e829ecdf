"""How often samples are taken, how long they are kept, and how they are pruned."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, models, transaction

from apps.core import runtime_settings
from apps.core.registries import Keep, keeps
from apps.fleet.models import DirtyBucket, Rollup1d, Rollup1h, Rollup1m, Rollup5m, Sample, Server

DAY_S = 86400

runtime_settings.declare(
    "metrics",
    "interval_s",
    "int",
    5,
    "Seconds between two samples of this host; host agents follow it.",
    least=1,
    most=3600,
)
runtime_settings.declare(
    "retention", "samples_raw", "duration", DAY_S, "How long raw samples are kept.", least=3600, most=30 * DAY_S
)
runtime_settings.declare(
    "retention",
    "samples_1m",
    "duration",
    7 * DAY_S,
    "How long samples of a minute are kept.",
    least=DAY_S,
    most=365 * DAY_S,
)
runtime_settings.declare(
    "retention",
    "samples_5m",
    "duration",
    90 * DAY_S,
    "How long samples of five minutes are kept.",
    least=DAY_S,
    most=1000 * DAY_S,
)
runtime_settings.declare(
    "retention",
    "samples_1h",
    "duration",
    730 * DAY_S,
    "How long samples of an hour are kept.",
    least=DAY_S,
    most=3650 * DAY_S,
)
runtime_settings.declare(
    "retention",
    "samples_1d",
    "duration",
    3650 * DAY_S,
    "How long samples of a day are kept.",
    least=DAY_S,
    most=7300 * DAY_S,
)


@dataclass(frozen=True, slots=True)
class Level:
    """A resolution: its name in the API, its width, its table, and the level it is computed from."""

    name: str
    ms: int
    model: type[models.Model]
    below: "Level | None"

    @property
    def table(self) -> str:
        """Return the database table."""
        return self.model._meta.db_table

    @property
    def keep_ms(self) -> int:
        """Return how long its rows are kept."""
        return int(runtime_settings.get(f"retention.samples_{self.name}") * 1000)


RAW = Level("raw", 0, Sample, None)
MINUTE = Level("1m", 60_000, Rollup1m, RAW)
FIVE_MINUTES = Level("5m", 300_000, Rollup5m, MINUTE)
HOUR = Level("1h", 3_600_000, Rollup1h, FIVE_MINUTES)
DAY = Level("1d", 86_400_000, Rollup1d, HOUR)
#: From the finest to the coarsest; each is computed from the one before it.
LEVELS = (RAW, MINUTE, FIVE_MINUTES, HOUR, DAY)
BY_NAME = {level.name: level for level in LEVELS}


def interval_s() -> int:
    """Return the seconds between two samples."""
    return int(runtime_settings.get("metrics.interval_s"))


def silent_after_s() -> float:
    """Return after how many seconds without a sample a server counts as offline: three intervals, at least 60 s."""
    return max(3.0 * interval_s(), 60.0)


def prune_before(level: Level, now_ms: int) -> int:
    """Return the time before which rows of `level` go.

    A late sample may still dirty buckets as old as the raw retention, and a bucket is recomputed from whole buckets
    below it: so no level is pruned closer than that plus two of the next wider buckets.
    """
    above = next((one for one in LEVELS if one.below is level), None)
    late = RAW.keep_ms + (2 * above.ms if above else 0)
    return now_ms - max(level.keep_ms, late)


_positions: dict[str, int] = {}  # table -> the server at which the last call stopped


def prune_level(level: Level, limit: int, now_ms: int) -> int:
    """Delete at most `limit` rows of a level: those past their keep time, and those of servers that are gone.

    Goes along the primary key, server by server, so that the telemetry needs no second index. A call goes on where the
    one before it reached its limit.

    Returns:
        How many rows went; fewer than `limit` once the last server is done.
    """
    table, before, gone = level.table, prune_before(level, now_ms), 0
    known = set(Server.objects.values_list("num", flat=True))
    position = _positions.pop(table, -1)
    with transaction.atomic(), connection.cursor() as cursor:
        while True:
            cursor.execute(f"SELECT min(num) FROM {table} WHERE num > %s", [position])
            num = cursor.fetchone()[0]
            if num is None:
                return gone
            border = before if num in known else 2**62
            cursor.execute(
                f"DELETE FROM {table} WHERE num = %s AND at IN "
                f"(SELECT at FROM {table} WHERE num = %s AND at < %s ORDER BY at LIMIT %s)",
                [num, num, border, limit - gone],
            )
            gone += cursor.rowcount
            if gone >= limit:
                _positions[table] = position
                return gone
            position = num


def _pruner(level: Level) -> Callable[[int], int]:
    def prune(limit: int) -> int:
        return prune_level(level, limit, time.time_ns() // 1_000_000)

    return prune


for _level in LEVELS:
    keeps.register(
        f"samples_{_level.name}",
        Keep(_level.table, f"retention.samples_{_level.name}", _pruner(_level), telemetry=True),
    )


def forget_marks_of_gone_servers() -> None:
    """Delete marks whose server is gone."""
    DirtyBucket.objects.exclude(num__in=Server.objects.values("num")).delete()
