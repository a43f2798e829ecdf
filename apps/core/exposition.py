"""The Prometheus exposition of the platform."""

import os
import time
from collections.abc import Iterator
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from apps.core.events.sequencer import last_seq
from apps.core.health import all_parts
from apps.core.models import ReaderCursor, SetAsideFact
from apps.core.registries import metric_collectors

STARTED_AT = time.time()

#: (name, "gauge" | "counter", help, [(labels, value), ...])
Family = tuple[str, str, str, list[tuple[dict[str, str], float]]]


def _own(per_object: bool) -> Iterator[Family]:
    process = psutil.Process(os.getpid())
    yield "watchkeeper_uptime_seconds", "gauge", "Seconds since this process started.", [({}, time.time() - STARTED_AT)]
    yield (
        "watchkeeper_process_resident_memory_bytes",
        "gauge",
        "Memory of this process.",
        [({}, process.memory_info().rss)],
    )
    yield "watchkeeper_events_total", "counter", "Facts numbered.", [({}, last_seq())]
    newest = last_seq()
    yield (
        "watchkeeper_reader_lag_events",
        "gauge",
        "Facts a durable reader is behind.",
        [({"reader": row.name}, max(0, newest - row.seq)) for row in ReaderCursor.objects.order_by("name")],
    )
    yield (
        "watchkeeper_facts_set_aside",
        "gauge",
        "Facts that a reader gave up on.",
        [({}, SetAsideFact.objects.count())],
    )
    yield (
        "watchkeeper_part_up",
        "gauge",
        "1 where a part of the platform answers.",
        [({"part": name}, float(part.status == "ok")) for name, part in all_parts().items()],
    )


metric_collectors.register("core", _own)


class _Collector:
    def __init__(self, per_object: bool) -> None:
        self.per_object = per_object

    def collect(self) -> Iterator[Metric]:
        for _, source in metric_collectors.items():
            for name, kind, text, rows in source(self.per_object):
                labels = sorted({label for row_labels, _ in rows for label in row_labels})
                make: Any = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
                family = make(name, text, labels=labels)
                for row_labels, value in rows:
                    family.add_metric([str(row_labels.get(label, "")) for label in labels], float(value))
                yield family


def exposition(*, per_object: bool) -> bytes:
    """Return the text exposition; the series of single servers and monitors only where `per_object`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(per_object))
    return generate_latest(registry)
