"""Telemetry of endpoint checks: raw results and their roll-ups. No surrogate ids; the key is (num, at)."""

from django.db import models


class CheckResult(models.Model):
    """One result. `at` is the start of the check in epoch ms; `status` is a code of `states.endpoints.CODES`."""

    pk = models.CompositePrimaryKey("num", "at")
    num = models.PositiveIntegerField()
    at = models.BigIntegerField()
    status = models.PositiveSmallIntegerField()
    manual = models.BooleanField(default=False)  # asked for by a person: shown, but not counted
    maintenance = models.BooleanField(default=False, db_default=False)  # made while a window was open: not counted
    latency_ms = models.FloatField(null=True)
    dns_ms = models.FloatField(null=True)
    connect_ms = models.FloatField(null=True)
    tls_ms = models.FloatField(null=True)
    first_byte_ms = models.FloatField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [models.Index(fields=["at"], name="check_result_at")]

    def __str__(self) -> str:
        return f"{self.num}@{self.at}"


class CheckRollup(models.Model):
    """Results of one endpoint in one bucket; `at` is the bucket's start in epoch ms.

    `histogram` counts latencies in fixed logarithmic classes (see `series.histogram`), so that percentiles of several
    buckets can be merged.
    """

    pk = models.CompositePrimaryKey("num", "at")
    num = models.PositiveIntegerField()
    at = models.BigIntegerField()
    up = models.PositiveIntegerField(default=0)
    degraded = models.PositiveIntegerField(default=0)
    down = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)
    maintenance = models.PositiveIntegerField(default=0, db_default=0)  # of whatever status, in none of the others
    latency_count = models.PositiveIntegerField(default=0)
    latency_sum = models.FloatField(default=0)
    latency_min = models.FloatField(null=True)
    latency_max = models.FloatField(null=True)
    histogram = models.TextField(blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.num}@{self.at}"


class CheckRollup5m(CheckRollup):
    """Buckets of five minutes."""

    class Meta:
        indexes = [models.Index(fields=["at"], name="check_rollup_5m_at")]


class CheckRollup1h(CheckRollup):
    """Buckets of an hour."""

    class Meta:
        indexes = [models.Index(fields=["at"], name="check_rollup_1h_at")]


class CheckRollup1d(CheckRollup):
    """Buckets of a UTC day."""

    class Meta:
        indexes = [models.Index(fields=["at"], name="check_rollup_1d_at")]


class DirtyBucket(models.Model):
    """A bucket whose roll-up must be computed (again), written in the transaction of the results."""

    pk = models.CompositePrimaryKey("level", "at", "num")
    level = models.PositiveSmallIntegerField()  # 0: 5 min, 1: 1 h, 2: 1 d
    at = models.BigIntegerField()
    num = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.level}:{self.num}@{self.at}"


class DroppedSeries(models.Model):
    """The results of a deleted endpoint; they go in small portions."""

    num = models.PositiveIntegerField(primary_key=True)
    dropped_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.num)
