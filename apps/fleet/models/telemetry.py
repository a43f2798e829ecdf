"""Telemetry: no surrogate key, no foreign key; key (num, at), `at` in epoch ms.

Rows are written and rolled up by SQL in one statement a batch; see services.samples and services.rollups.
"""

from typing import Any

from django.db import models

#: Metrics of a sample that roll-ups keep, in the order of their columns.
ROLLED = (
    "cpu",
    "memory",
    "swap",
    "disk",
    "inodes",
    "load1",
    "temperature",
    "rx_rate",
    "tx_rate",
    "read_rate",
    "write_rate",
)
#: Figures of a sample in the order of its columns.
FIGURES = (
    *ROLLED,
    "load5",
    "load15",
    "cores",
    "memory_used",
    "memory_total",
    "disk_used",
    "disk_total",
    "connections",
    "processes",
    "uptime",
)


class Sample(models.Model):
    """One raw sample: figures, and two compact arrays.

    Percent: cpu, memory, swap, disk and inodes (both of the fullest mount). Rates are bytes a second, sums over the
    physical interfaces and disks. `mounts` is JSON [[path, percent, used, total, inodes percent]], `interfaces` is JSON
    [[name, rx rate, tx rate, rx bytes, tx bytes]].
    """

    pk = models.CompositePrimaryKey("num", "at")
    num = models.IntegerField()
    at = models.BigIntegerField()
    cpu = models.FloatField(null=True)
    memory = models.FloatField(null=True)
    swap = models.FloatField(null=True)
    disk = models.FloatField(null=True)
    inodes = models.FloatField(null=True)
    load1 = models.FloatField(null=True)
    temperature = models.FloatField(null=True)
    rx_rate = models.FloatField(null=True)
    tx_rate = models.FloatField(null=True)
    read_rate = models.FloatField(null=True)
    write_rate = models.FloatField(null=True)
    load5 = models.FloatField(null=True)
    load15 = models.FloatField(null=True)
    cores = models.IntegerField(null=True)
    memory_used = models.BigIntegerField(null=True)
    memory_total = models.BigIntegerField(null=True)
    disk_used = models.BigIntegerField(null=True)
    disk_total = models.BigIntegerField(null=True)
    connections = models.IntegerField(null=True)
    processes = models.IntegerField(null=True)
    uptime = models.BigIntegerField(null=True)
    mounts = models.TextField(default="[]")
    interfaces = models.TextField(default="[]")

    def __str__(self) -> str:
        return f"{self.num}@{self.at}"


class DirtyBucket(models.Model):
    """A bucket that got a row since it was rolled up. Late and repeated samples only mark; the roll-up recomputes.

    `level` is the bucket's width in ms.
    """

    pk = models.CompositePrimaryKey("level", "num", "at")
    level = models.IntegerField()
    num = models.IntegerField()
    at = models.BigIntegerField()
    marked_at = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["level", "at"], name="dirtybucket_due")]

    def __str__(self) -> str:
        return f"{self.num}@{self.at}/{self.level}"


def _rollup(name: str, width: str) -> type[models.Model]:
    """Return the table of one level: per metric how many values, their sum, least and most."""
    columns: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": f"Buckets of {width}, keyed by their beginning.",
        "__str__": lambda self: f"{self.num}@{self.at}",
        "pk": models.CompositePrimaryKey("num", "at"),
        "num": models.IntegerField(),
        "at": models.BigIntegerField(),
        "count": models.IntegerField(),
    }
    for metric in ROLLED:
        columns[f"{metric}_n"] = models.IntegerField()
        columns[f"{metric}_sum"] = models.FloatField(null=True)
        columns[f"{metric}_min"] = models.FloatField(null=True)
        columns[f"{metric}_max"] = models.FloatField(null=True)
    return type(name, (models.Model,), columns)


Rollup1m = _rollup("Rollup1m", "a minute")
Rollup5m = _rollup("Rollup5m", "five minutes")
Rollup1h = _rollup("Rollup1h", "an hour")
Rollup1d = _rollup("Rollup1d", "a day (UTC)")
