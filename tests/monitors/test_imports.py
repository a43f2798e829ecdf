"""Importing: first looked at, then made, never twice; over the API, the console and the command."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from apps.accounts.models import Role
from apps.core import runner as runner_module
from apps.core.imports import ImportReport, SourceFile
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runner import Runner
from apps.monitors.importers import importers
from apps.monitors.models import Endpoint, EndpointState, Heartbeat, MaintenanceWindow
from apps.monitors.services.imports import import_monitors
from apps.monitors.tasks import endpoints as tasks
from tests.factories.accounts import client_as, client_of, make_user
from tests.support.console import console_as, inline_scripts
from tests.support.servers import Reply, Request, http_server

pytestmark = pytest.mark.django_db
SAMPLES = Path(__file__).parent / "samples"
FILES = {
    "uptime_kuma": ("uptime_kuma.json",),
    "gatus": ("gatus.yaml",),
    "healthchecks": ("healthchecks.json",),
    "blackbox": ("blackbox.yml", "prometheus.yml"),
    "crontab": ("crontab",),
    "crontab_system": ("crontab",),
}


def text_of(name: str) -> str:
    return (SAMPLES / name).read_text()


def bring(format: str, *, dry_run: bool = False, names: tuple[str, ...] = ()) -> ImportReport:
    files = [SourceFile(name, text_of(name)) for name in names or FILES[format]]
    return import_monitors(actor=system("test"), format=format, files=files, dry_run=dry_run)


def made() -> tuple[int, int, int]:
    return Endpoint.objects.count(), Heartbeat.objects.count(), MaintenanceWindow.objects.count()


# --- each format -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", list(importers))
def test_dry_run_tells_what_the_import_then_makes_and_a_second_one_makes_nothing(format: str) -> None:
    looked = bring(format, dry_run=True)
    assert made() == (0, 0, 0) and not Event.objects.exists()
    done = bring(format)
    assert [(one.name, one.outcome, one.reason, one.summary) for one in looked.items] == [
        (one.name, one.outcome, one.reason, one.summary) for one in done.items
    ]
    assert sum(made()) == done.counts()["new"] > 0
    assert all(one.id for one in done.items if one.outcome == "new")
    assert all(one.reason for one in done.items if one.outcome == "impossible")
    before = made()
    again = bring(format)
    assert (again.counts()["new"], again.counts()["exists"], made()) == (0, done.counts()["new"], before)


def test_backup_keeps_groups_secrets_and_maintenance() -> None:
    report = bring("uptime_kuma")
    impossible = {item.name for item in report.items if item.outcome == "impossible"}
    assert impossible == {
        "Telemetry", "Intranet", "Container", "Broken interval", "Team chat", "By hand", "Example status",
    }  # fmt: skip
    assert report.counts()["new"] == 19
    production = Endpoint.objects.get(name="Production")
    inner = Endpoint.objects.get(name="Inner group")
    shops = {row.method: row for row in Endpoint.objects.filter(name="Shop")}
    search = Endpoint.objects.get(name="Shop search")
    assert set(production.options["members"]) == {str(shops["GET"].pk), str(search.pk), str(inner.pk)}
    assert inner.options["members"] == [str(shops["HEAD"].pk)]
    database = Endpoint.objects.get(name="Database port")
    window = MaintenanceWindow.objects.get(title="Weekly updates")
    assert sorted(pk for _, pk in window.targets) == sorted([str(shops["GET"].pk), str(database.pk)])
    paused = Endpoint.objects.get(name="Old site is gone")
    assert (paused.inverse, EndpointState.objects.get(num=paused.num).status) == (True, "paused")
    stored = json.dumps(list(Endpoint.objects.values("options", "headers", "body")), default=str)
    trail = "".join(str(event.audit) + str(event.data) for event in Event.objects.all())
    assert "s3cret" not in stored + trail
    [push] = [item for item in report.items if item.name == "Nightly import"]
    assert "/api/v1/push/" in push.url and push.url in push.snippet


@pytest.fixture
def own_runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """Give the test a runner of its own, stopped before the tables are emptied."""
    one = Runner(threads=2)
    monkeypatch.setattr(runner_module, "_runner", one)
    yield one
    one.stop()


@pytest.mark.django_db(transaction=True)
def test_monitors_of_a_backup_are_running_after_its_import(own_runner: Runner) -> None:
    def shop(request: Request) -> Reply:
        if request.path == "/old":
            return Reply(status=302, headers={"Location": "/"})
        if request.path == "/health":
            fine = request.headers.get("authorization", "").startswith("Basic ") and b"deep" in request.body
            return Reply(status=200 if fine else 401, body=b'{"checks": [{"status": "ok"}]}')
        return Reply(body=b"42 results found")

    backup = json.loads(text_of("uptime_kuma.json"))
    by_id = {row["id"]: row for row in backup["monitorList"]}
    with http_server(shop) as server:
        for number, change in {
            1: {}, 2: {"url": f"{server.url}/old", "accepted_statuscodes": ["200-299", "300-399"]},
            3: {"url": server.url}, 4: {"url": server.url}, 5: {"url": f"{server.url}/health"},
            6: {"hostname": server.host, "port": server.port}, 20: {}, 21: {"url": server.url},
        }.items():  # fmt: skip
            by_id[number].update(change)
        wanted = (1, 2, 3, 4, 5, 6, 20, 21)
        text = json.dumps({**backup, "monitorList": [by_id[number] for number in wanted], "maintenanceList": []})
        answer = client_as("operator").post(
            "/api/v1/monitors/import", {"format": "uptime_kuma", "content": text, "dry_run": False}, format="json"
        )
        assert (answer.status_code, answer.json()["counts"]["new"]) == (200, 8), answer.json()
        end = time.monotonic() + 30
        up = 0
        while up < 8 and time.monotonic() < end:
            # Groups look at their members, so they are up one look later than these.
            EndpointState.objects.exclude(status="up").update(next_check_at="2000-01-01T00:00:00Z")
            tasks.sweep_endpoints()
            time.sleep(0.4)
            up = EndpointState.objects.filter(status="up").count()
        states = dict(EndpointState.objects.values_list("endpoint__name", "last_error"))
    assert up == 8, states


def test_check_of_healthchecks_keeps_its_address_and_its_pause() -> None:
    bring("healthchecks")
    backup = Heartbeat.objects.get(uuid="31365bce-8da9-4729-8ff3-aaa71d56b712")
    assert (backup.cron, backup.timezone, backup.grace_seconds) == ("30 2 * * *", "Europe/Berlin", 3600)
    worker = Heartbeat.objects.select_related("state").get(name="Queue worker")
    assert (worker.state.status, worker.interval_seconds) == ("paused", 600)
    renamed = text_of("healthchecks.json").replace("Nightly backup", "Renamed")
    files = [SourceFile("x", renamed)]
    report = import_monitors(actor=system("test"), format="healthchecks", files=files, dry_run=False)
    assert report.items[0].reason == "Its UUID is there already." and not Heartbeat.objects.filter(name="Renamed")


def test_line_of_a_crontab_gets_its_own_address() -> None:
    report = bring("crontab")
    item = next(one for one in report.items if one.name == "backup.sh --full")
    heartbeat = Heartbeat.objects.get(pk=item.id)
    assert item.snippet == (
        "30 2 * * 1-5 /usr/local/bin/backup.sh --full >/var/log/backup.log 2>&1; "
        f"curl -fsS -m 10 --retry 5 -o /dev/null {item.url}/$?"
    )
    assert str(heartbeat.uuid) in item.url and heartbeat.timezone == "Europe/Berlin"


def test_several_that_look_the_same_are_all_made_and_recognised() -> None:
    text = "* * * * * /opt/a\n* * * * * /opt/a\n"
    for expected in ((2, 0), (0, 2)):
        files = [SourceFile("x", text)]
        counts = import_monitors(actor=system("test"), format="crontab", files=files, dry_run=False).counts()
        assert (counts["new"], counts["exists"]) == expected
    assert Heartbeat.objects.count() == 2


# --- API ---------------------------------------------------------------------------------------------------------


def test_api_makes_nothing_unless_told_to() -> None:
    client = client_as("operator")
    body: dict[str, Any] = {"format": "gatus", "contents": [text_of("gatus.yaml")]}
    answer = client.post("/api/v1/monitors/import", body, format="json")
    assert (answer.status_code, answer.json()["dry_run"], made()) == (200, True, (0, 0, 0))
    item = answer.json()["items"][0]
    assert (item["place"], item["kind"], item["name"], item["outcome"], item["summary"]) == (
        "endpoint 1", "endpoint", "shop", "new", "http https://shop.example.org/health, every 30 s",
    )  # fmt: skip
    assert "s3cret" not in answer.content.decode()
    done = client.post("/api/v1/monitors/import/", {**body, "dry_run": False}, format="json")
    assert (done.json()["dry_run"], made()) == (False, (9, 0, 1))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"format": "nagios", "content": "x"}, "format"),
        ({"format": "crontab"}, "contents"),
        ({"format": "crontab", "content": "# nothing"}, "contents"),
        ({"format": "gatus", "content": "a: [b"}, "contents"),
        ({"format": "crontab", "content": "a", "files": [{"content": "b"}]}, "contents"),
    ],
)
def test_wrong_request_is_refused_by_its_field(body: dict[str, Any], field: str) -> None:
    answer = client_as("operator").post("/api/v1/monitors/import", body, format="json")
    assert answer.status_code == 422
    assert field in answer.json()["detail"][0]["loc"]


def test_import_needs_both_permissions_and_maintenance_its_own() -> None:
    body = {"format": "gatus", "files": [{"name": "g.yaml", "content": text_of("gatus.yaml")}]}
    assert client_as("viewer").post("/api/v1/monitors/import", body, format="json").status_code == 403
    codes = ["endpoints:create", "endpoints:view"]
    Role.objects.create(name="half", permissions=codes)
    assert client_of(make_user("half")).post("/api/v1/monitors/import", body, format="json").status_code == 403
    Role.objects.create(name="whole", permissions=[*codes, "heartbeats:create"])
    report = client_of(make_user("whole")).post("/api/v1/monitors/import", body, format="json").json()
    window = next(item for item in report["items"] if item["kind"] == "maintenance window")
    assert window["outcome"] == "impossible" and "maintenance:create" in window["reason"]


# --- console -----------------------------------------------------------------------------------------------------


def test_console_looks_first_and_makes_on_confirmation() -> None:
    console = console_as("operator")
    assert console.get("/admin/import/").status_code == 200
    upload = SimpleUploadedFile("backup.json", text_of("uptime_kuma.json").encode())
    preview = console.post("/admin/import/", {"format": "uptime_kuma", "uploads": [upload]})
    page = preview.content.decode()
    assert preview.status_code == 200 and made() == (0, 0, 0)
    for text in ("What would be imported", "Will be made", "no check of the type mqtt", "Make 19", "Shop search"):
        assert text in page, text
    assert "s3cret" not in page and not inline_scripts(page)
    packed = page.split('name="packed" value="')[1].split('"')[0]
    done = console.post("/admin/import/", {"step": "make", "format": "uptime_kuma", "packed": packed})
    page = done.content.decode()
    assert made() == (18, 0, 1)
    shop = Endpoint.objects.get(name="Shop search")
    for text in ("19 made", f"/admin/monitors/endpoint/{shop.pk}/", "/api/v1/push/"):
        assert text in page, text


def test_console_says_what_is_wrong_with_a_file() -> None:
    console = console_as("operator")
    for data, words in (
        ({"format": "gatus", "text": "a: [b"}, "not YAML"),
        ({"format": "gatus"}, "Choose a file"),
        ({"format": "gatus", "uploads": [SimpleUploadedFile("x.yaml", b"\xff\xfe\x00")]}, "no text in UTF-8"),
        ({"step": "make", "format": "gatus", "packed": "????"}, "did not arrive whole"),
    ):
        answer = console.post("/admin/import/", data)
        assert answer.status_code == 422
        assert words in answer.content.decode(), words
    assert console_as("viewer").get("/admin/import/").status_code == 403


# --- command -----------------------------------------------------------------------------------------------------


def test_command_prints_each_thing_and_what_to_put_into_the_jobs() -> None:
    out = io.StringIO()
    call_command("import-monitors", "crontab", str(SAMPLES / "crontab"), "--dry-run", stdout=out)
    assert "7 would be made, 0 there already, 3 can't be made." in out.getvalue() and made() == (0, 0, 0)
    out = io.StringIO()
    call_command("import-monitors", "crontab", str(SAMPLES / "crontab"), stdout=out)
    assert "7 made" in out.getvalue() and "/ping/" in out.getvalue() and made() == (0, 7, 0)
    with pytest.raises(CommandError, match="can't be read"):
        call_command("import-monitors", "crontab", "/does/not/exist")
    with pytest.raises(CommandError, match="no configuration of Gatus"):
        call_command("import-monitors", "gatus", str(SAMPLES / "uptime_kuma.json"))
