"""How long results are kept, and how they go."""

from datetime import timedelta

from django.db import connection
from django.db.models import Model
from django.utils import timezone

from apps.core import runtime_settings
from apps.monitors.models import (
    CheckResult,
    CheckRollup1d,
    CheckRollup1h,
    CheckRollup5m,
    DirtyBucket,
    DroppedSeries,
)

DAY_S = 86_400
#: Results of this age and younger stay whatever they take: the last one to two hours are counted from them.
RECENT = timedelta(hours=3)
_ROW_BYTES = 150  # numbers, the key and the index on time, on either database
_SAMPLE = 1000

BYTES = runtime_settings.declare(
    "retention",
    "check_results_bytes",
    "int",
    4_000_000_000,
    "Bytes that single results of endpoint checks may take; over it the oldest go, after they are rolled up.",
    least=1_000_000,
    most=1_000_000_000_000,
)
SERIES: tuple[type[Model], ...] = (CheckResult, CheckRollup5m, CheckRollup1h, CheckRollup1d)


def prune_series(model: type[Model], setting: str, limit: int) -> int:
    """Delete about `limit` rows of a table keyed by (num, at) that are past their keep time, oldest first.

    Returns:
        How many went; fewer than `limit` where nothing old is left.
    """
    before = timezone.now() - timedelta(seconds=runtime_settings.get(setting))
    old = model._default_manager.filter(at__lt=int(before.timestamp() * 1000))
    times = list(old.order_by("at").values_list("at", flat=True)[:limit])
    if not times:
        return 0
    old.filter(at__lte=times[-1]).delete()
    return len(times)


def prune_results(setting: str, limit: int) -> int:
    """Delete about `limit` results: those past their keep time, then the oldest while all take more than their budget.

    The budget touches nothing that is not rolled up, and nothing of the last hours, which figures are counted from.

    Returns:
        How many went; fewer than `limit` where nothing is left to go.
    """
    gone = prune_series(CheckResult, setting, limit)
    if gone >= limit:
        return gone
    over = results_bytes() - runtime_settings.get(BYTES.name)
    if over <= 0:
        return gone
    wanted = min(limit - gone, int(over / _bytes_a_row()) + 1)
    before = int((timezone.now() - RECENT).timestamp() * 1000)
    dirty = DirtyBucket.objects.filter(level=0).order_by("at").values_list("at", flat=True).first()
    old = CheckResult.objects.filter(at__lt=before if dirty is None else min(before, dirty))
    times = list(old.order_by("at").values_list("at", flat=True)[:wanted])
    if times:
        old.filter(at__lte=times[-1]).delete()
    return gone + len(times)


def results_bytes() -> int:
    """Return about how many bytes single results take, indexes included."""
    return int(_row_count() * _bytes_a_row())


def _row_count() -> int:
    """Return about how many results there are, without counting them."""
    table = CheckResult._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = %s", [table])
        else:
            # Rows are numbered as they come and the oldest go first.
            cursor.execute(f"SELECT MAX(rowid) - MIN(rowid) + 1 FROM {table}")
        row = cursor.fetchone()
    count = int(row[0] or 0) if row else 0
    # PostgreSQL knows nothing of a table that it has not looked at yet.
    return count or CheckResult.objects.count()


def _bytes_a_row() -> float:
    sample = CheckResult.objects.order_by("-at").values_list("error", flat=True)[:_SAMPLE]
    lengths = [len(error.encode()) for error in sample]
    return _ROW_BYTES + (sum(lengths) / len(lengths) if lengths else 0.0)


def drop_series(limit: int) -> int:
    """Delete about `limit` results and roll-ups of endpoints that were removed.

    Returns:
        How many rows went; 0 where none is left.
    """
    gone = DroppedSeries.objects.order_by("num").first()
    if gone is None:
        return 0
    for model in SERIES:
        rows = model._default_manager.filter(num=gone.num)
        times = list(rows.order_by("at").values_list("at", flat=True)[:limit])
        if times:
            rows.filter(at__lte=times[-1]).delete()
            return len(times)
    DirtyBucket.objects.filter(num=gone.num).delete()
    gone.delete()
    return 1
