"""The monitors' parts of the overview."""

from typing import Any

from django.db.models import Count, F
from django.http import HttpRequest
from django.urls import reverse

from apps.core.admin.access import may, require
from apps.core.admin.panels import MAIN, SIDE, FirstStep, Panel, Tile, first_steps, panels, tiles
from apps.monitors.admin.endpoints import WORST_FIRST, recent_cells
from apps.monitors.admin.heartbeats import schedule_words
from apps.monitors.models import Endpoint, EndpointState, Heartbeat, HeartbeatState
from apps.monitors.selectors.endpoints import uptime_24h
from apps.monitors.states import endpoints as endpoint_states
from apps.monitors.states import heartbeats as heartbeat_states

ROWS = 10


def _counts(model: Any) -> dict[str, int]:
    return dict(model.objects.values_list("status").annotate(Count("pk")))


def _endpoint_tile(request: HttpRequest) -> Tile:
    counts = _counts(EndpointState)
    return Tile(
        "Endpoints",
        "language",
        reverse("admin:monitors_endpoint_changelist"),
        (
            (counts.get(endpoint_states.DOWN, 0), "down", "crit"),
            (counts.get(endpoint_states.DEGRADED, 0), "degraded", "warn"),
            (counts.get(endpoint_states.UNKNOWN, 0), "unknown", "unknown"),
            (counts.get(endpoint_states.UP, 0), "up", "ok"),
            (counts.get(endpoint_states.PAUSED, 0), "paused", "unknown"),
        ),
    )


def _heartbeat_tile(request: HttpRequest) -> Tile:
    counts = _counts(HeartbeatState)
    return Tile(
        "Heartbeats",
        "ecg_heart",
        reverse("admin:monitors_heartbeat_changelist"),
        (
            (counts.get(heartbeat_states.DOWN, 0), "down", "crit"),
            (counts.get(heartbeat_states.LATE, 0), "late", "warn"),
            (counts.get(heartbeat_states.UP, 0) + counts.get(heartbeat_states.STARTED, 0), "up", "ok"),
            (counts.get(heartbeat_states.NEW, 0), "new", "unknown"),
            (counts.get(heartbeat_states.PAUSED, 0), "paused", "unknown"),
        ),
    )


def _endpoints_panel(request: HttpRequest) -> dict[str, Any]:
    rows = (
        Endpoint.objects.visible_to(require(request, "endpoints:view"))
        .select_related("state")
        .annotate(severity=WORST_FIRST)
    )
    shown = list(rows.order_by("severity", "name", "id")[: ROWS + 1])
    figures = uptime_24h(row.num for row in shown[:ROWS])
    listed = [
        {
            "row": row,
            "cells": recent_cells(row),
            "uptime": figures.get(row.num),
            "url": reverse("admin:monitors_endpoint_detail", args=[row.pk]),
        }
        for row in shown[:ROWS]
    ]
    return {"rows": listed, "more": len(shown) > ROWS, "may_add": may(request, "endpoints:create")}


def _heartbeats_panel(request: HttpRequest) -> dict[str, Any]:
    rows = Heartbeat.objects.visible_to(require(request, "heartbeats:view")).select_related("state")
    wrong = rows.filter(state__status__in=(heartbeat_states.DOWN, heartbeat_states.LATE)).order_by("state__since")[:5]
    coming = rows.filter(state__status__in=(heartbeat_states.UP, heartbeat_states.STARTED))
    listed = [*wrong, *coming.order_by(F("state__next_due_at").asc(nulls_last=True), "name")[:5]]
    listed = listed or list(rows.order_by("name")[:5])
    return {
        "rows": [
            {
                "row": row,
                "schedule": schedule_words(row),
                "url": reverse("admin:monitors_heartbeat_detail", args=[row.pk]),
            }
            for row in listed
        ],
        "may_add": may(request, "heartbeats:create"),
    }


def _add_endpoint(request: HttpRequest) -> FirstStep:
    return FirstStep(
        Endpoint.objects.exists(),
        "Add your first monitor",
        "A web address, a TCP port or a TLS service; it is checked within seconds.",
        reverse("admin:monitors_endpoint_add"),
        "Add monitor",
    )


def _add_heartbeat(request: HttpRequest) -> FirstStep:
    return FirstStep(
        Heartbeat.objects.exists(),
        "Watch a cron job",
        "Add a heartbeat and paste its address into the job.",
        reverse("admin:monitors_heartbeat_add"),
        "Add heartbeat",
    )


tiles.register("endpoints", (30, "endpoints:view", _endpoint_tile))
tiles.register("heartbeats", (40, "heartbeats:view", _heartbeat_tile))
panels.register(
    "endpoints",
    Panel(
        MAIN,
        20,
        "console/panels/endpoints.html",
        _endpoints_panel,
        "endpoints:view",
        "endpoint.alert endpoint.recovery endpoint.created endpoint.updated endpoint.deleted endpoint.paused "
        "endpoint.resumed endpoint.check_result",
    ),
)
panels.register(
    "heartbeats", Panel(SIDE, 20, "console/panels/heartbeats.html", _heartbeats_panel, "heartbeats:view", "heartbeat.*")
)
first_steps.register("endpoint", (10, "endpoints:create", _add_endpoint))
first_steps.register("heartbeat", (20, "heartbeats:create", _add_heartbeat))
