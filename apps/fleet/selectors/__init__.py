"""Reads of the fleet."""

from apps.fleet.selectors.history import History, HistoryPoint, export_rows, history, pick_resolution, recent_values
from apps.fleet.selectors.processes import find_process, process_table, top_processes
from apps.fleet.selectors.servers import (
    LatestValues,
    find_server,
    latest_metrics,
    latest_snapshot,
    latest_values,
    local_server,
    server_list,
    tags_of,
)

__all__ = [
    "History",
    "HistoryPoint",
    "LatestValues",
    "export_rows",
    "find_process",
    "find_server",
    "history",
    "latest_metrics",
    "latest_snapshot",
    "latest_values",
    "local_server",
    "pick_resolution",
    "process_table",
    "recent_values",
    "server_list",
    "tags_of",
    "top_processes",
]
