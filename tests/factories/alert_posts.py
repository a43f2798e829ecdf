"""What other systems post, in the shapes that their documentation gives."""

import copy
import json
from typing import Any

from django.test import Client

from apps.alerts.models import AlertSource
from apps.alerts.services import create_source
from apps.core.principals import system


def make_source(kind: str = "alertmanager", **values: Any) -> tuple[AlertSource, str]:
    """Return a source and its token."""
    return create_source(actor=system("test"), values={"name": f"A {kind}", "kind": kind, **values})


def post(token: str, body: Any, **headers: str) -> Any:
    """Return the answer to a post with the token in the path."""
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return Client().post(f"/alerts/in/{token}", data, content_type="application/json", headers=headers)


def alertmanager(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a post of Alertmanager, version 4."""
    statuses = {one.get("status") for one in alerts}
    return {
        "version": "4",
        "groupKey": '{}/{team="blue"}:{alertname="HighLatency"}',
        "truncatedAlerts": 0,
        "status": "firing" if "firing" in statuses else "resolved",
        "receiver": "watchkeeper",
        "groupLabels": {"alertname": "HighLatency"},
        "commonLabels": {"alertname": "HighLatency", "team": "blue"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.org:9093",
        "alerts": list(alerts),
        **more,
    }


def prom_alert(
    fingerprint: str = "c6eadffa33fcdf37",
    status: str = "firing",
    start: str = "2026-03-01T10:00:00.123456789Z",
    **labels: str,
) -> dict[str, Any]:
    """Return one alert of Alertmanager."""
    return {
        "status": status,
        "labels": {
            "alertname": "HighLatency", "severity": "warning", "team": "blue", "instance": "web-1:9100", **labels,
        },
        "annotations": {"summary": "Requests are slow", "description": "p99 is over 2 s for 10 minutes."},
        "startsAt": start,
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-03-01T10:20:00Z",
        "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=latency",
        "fingerprint": fingerprint,
    }  # fmt: skip


_GRAFANA_ALERT = {
    "status": "firing",
    "labels": {"alertname": "High memory usage", "grafana_folder": "Hosts", "severity": "critical", "host": "web-1"},
    "annotations": {"description": "Memory is over 95 %.", "summary": "web-1 runs out of memory"},
    "startsAt": "2026-03-01T11:51:03.157076+02:00",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "https://grafana.example.org/alerting/grafana/abc/view?orgId=1",
    "fingerprint": "bc97ff14869b13e3",
    "silenceURL": "https://grafana.example.org/alerting/silence/new?matcher=alertname%3DHigh",
    "dashboardURL": "https://grafana.example.org/d/hosts?orgId=1",
    "panelURL": "https://grafana.example.org/d/hosts?orgId=1&viewPanel=4",
    "values": {"B": 96.5},
    "valueString": "[ var='B' labels={host=web-1} value=96.5 ]",
    "imageURL": "",
}


def grafana(status: str = "firing", **changes: Any) -> dict[str, Any]:
    """Return a post of a contact point of Grafana, version "1"."""
    alert = {**copy.deepcopy(_GRAFANA_ALERT), "status": status, **changes}
    if status == "resolved":
        alert["endsAt"] = "2026-03-01T12:20:00+02:00"
    return {
        "receiver": "watchkeeper",
        "status": status,
        "alerts": [alert],
        "groupLabels": {"alertname": "High memory usage"},
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "https://grafana.example.org/",
        "version": "1",
        "groupKey": "{}:{alertname=...}",
        "truncatedAlerts": 0,
        "orgId": 1,
        "title": f"[{status.upper()}:1] High memory usage",
        "state": "alerting" if status == "firing" else "ok",
        "message": "**Firing** ...",
    }


def grafana_rule(state: str = "alerting") -> dict[str, Any]:
    """Return a post of Grafana's alerting before unified alerting."""
    return {
        "dashboardId": 1,
        "evalMatches": [{"value": 100, "metric": "High value", "tags": None}],
        "message": "The queue is long",
        "orgId": 1,
        "panelId": 2,
        "ruleId": 7,
        "ruleName": "Queue length",
        "ruleUrl": "https://grafana.example.org/d/hZ7BuVbWz/queue?viewPanel=2",
        "state": state,
        "tags": {"severity": "error"},
        "title": f"[{state}] Queue length",
    }


def uptime_kuma(status: int = 0, time: str = "2026-03-01 09:51:35.527", **monitor: Any) -> dict[str, Any]:
    """Return a post of Uptime Kuma."""
    return {
        "heartbeat": {
            "monitorID": 29,
            "status": status,
            "time": time,
            "msg": "connect ECONNREFUSED" if status == 0 else "200 - OK",
            "ping": None,
            "important": True,
            "duration": 61,
            "timezone": "Europe/Berlin",
            "timezoneOffset": "+01:00",
            "localDateTime": "2026-03-01 10:51:35",
        },
        "monitor": {
            "id": 29,
            "name": "Shop",
            "url": "https://web-1/health",
            "hostname": None,
            "port": None,
            "type": "http",
            "interval": 60,
            "active": True,
            "tags": [{"tag_id": 1, "monitor_id": 29, "value": "prod", "name": "env", "color": "#DC2626"}],
            **monitor,
        },
        "msg": "[Shop] [Down] connect ECONNREFUSED" if status == 0 else "[Shop] [Up] 200 - OK",
    }


def healthchecks(status: str = "down", last_ping: str = "2026-03-01T03:00:00+00:00", **check: Any) -> dict[str, Any]:
    """Return a post of Healthchecks by the body that the setup names."""
    return {
        "status": status,
        "now": "2026-03-01T05:00:00+00:00" if status == "down" else "2026-03-01T05:10:00+00:00",
        "check": {
            "name": "Nightly backup",
            "slug": "nightly-backup",
            "tags": "prod severity=critical host:web-1",
            "desc": "Dumps the shop's database.",
            "grace": 3600,
            "n_pings": 412,
            "status": status,
            "started": False,
            "last_ping": last_ping,
            "next_ping": "2026-03-02T03:00:00+00:00",
            "manual_resume": False,
            "methods": "",
            "unique_key": "a6c7b0a8a66bed0df66abfdab3c77736861703ee",
            "schedule": "0 3 * * *",
            "tz": "UTC",
            **check,
        },
    }
