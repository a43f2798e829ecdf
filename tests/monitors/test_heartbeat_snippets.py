"""The texts to copy into jobs, executed as they stand against a live server."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from apps.monitors.hot import PingApplication
from apps.monitors.models import Heartbeat, Ping, Run
from apps.monitors.schedules import normalised_calendar
from apps.monitors.selectors.heartbeats import ping_url
from apps.monitors.selectors.snippets import TITLES, snippets
from tests.factories.heartbeats import make_heartbeat, state_of

pytestmark = pytest.mark.django_db(transaction=True)

NEEDED = {"curl": "curl", "wget": "wget", "docker_healthcheck": "curl"}
PRESENT = [name for name, tool in NEEDED.items() if shutil.which(tool)]


@pytest.fixture
def live(settings: Any) -> Iterator[None]:
    """Serve the raw application on a loopback port and make PUBLIC_URL its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings.PUBLIC_URL = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(PingApplication(), lifespan="on", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield
    server.should_exit = True
    thread.join(10)
    listener.close()


def run(command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**clean, **env}, check=False)


def kinds(heartbeat: Heartbeat) -> list[tuple[str, int | None]]:
    return list(Ping.objects.filter(num=heartbeat.num).order_by("n").values_list("kind", "exit_code"))


@pytest.mark.parametrize("name", PRESENT)
def test_one_line_snippet_reports_a_success(live: None, name: str) -> None:
    heartbeat = make_heartbeat()
    text = (
        snippets(heartbeat)[name]
        .replace("HEALTHCHECK --interval=60s --timeout=15s CMD", "")
        .replace("your-check", "true")
    )
    done = run(["sh", "-c", text.strip()])
    assert done.returncode == 0, done.stderr
    assert kinds(heartbeat) == [("success", None)]


def test_python_snippet_reports_start_and_success(live: None) -> None:
    heartbeat = make_heartbeat()
    assert run([sys.executable, "-c", snippets(heartbeat)["python"]]).returncode == 0
    assert kinds(heartbeat) == [("start", None), ("success", None)]


def test_python_snippet_reports_a_failure_with_its_traceback(live: None) -> None:
    heartbeat = make_heartbeat()
    text = snippets(heartbeat)["python"].replace("    pass  # the job's work", "    1 / 0")
    assert run([sys.executable, "-c", text]).returncode == 1
    assert kinds(heartbeat) == [("start", None), ("fail", 1)]
    assert "ZeroDivisionError" in Ping.objects.get(num=heartbeat.num, kind="fail").body


@pytest.mark.parametrize("code", [0, 3])
def test_bash_wrapper_reports_run_output_and_exit_code(live: None, tmp_path: Path, code: int) -> None:
    heartbeat = make_heartbeat()
    script = tmp_path / "report.sh"
    script.write_text(snippets(heartbeat)["bash"])
    done = run(["bash", str(script), "sh", "-c", f"echo said; echo wrong >&2; exit {code}"])
    assert (done.returncode, "said" in done.stdout) == (code, True)
    ended = Run.objects.get(num=heartbeat.num)
    assert (ended.exit_code, ended.result) == (code, "failure" if code else "success")
    assert ended.rid is not None
    body = Ping.objects.get(num=heartbeat.num, n=2).body
    assert "said" in body
    assert "wrong" in body
    assert state_of(heartbeat).status == ("down" if code else "up")


def test_crontab_line_reports_the_exit_code(live: None) -> None:
    heartbeat = make_heartbeat(cron="5 4 * * *", timezone_name="Europe/Berlin")
    zone, line = snippets(heartbeat)["crontab"].strip().splitlines()
    assert zone == "CRON_TZ=Europe/Berlin"
    assert line.startswith("5 4 * * * ")
    run(["sh", "-c", line.removeprefix("5 4 * * * ").replace("/path/to/your/job", "(exit 7)")])
    assert kinds(heartbeat) == [("fail", 7)]


def test_node_snippet_reports_start_and_success(live: None) -> None:
    heartbeat = make_heartbeat()
    if shutil.which("node"):
        assert run(["node", "-e", snippets(heartbeat)["node"]]).returncode == 0
        assert kinds(heartbeat) == [("start", None), ("success", None)]
    assert f'"{ping_url(heartbeat)}"' in snippets(heartbeat)["node"]


@pytest.mark.parametrize("code", [0, 5])
def test_kubernetes_command_reports_run_and_exit_code(live: None, code: int) -> None:
    heartbeat = make_heartbeat(cron="15 3 * * *", timezone_name="Asia/Tokyo")
    text = snippets(heartbeat)["kubernetes"]
    assert 'schedule: "15 3 * * *"\n  timeZone: "Asia/Tokyo"' in text
    command = text.partition("- |\n")[2].replace("your-job\n", f"(exit {code})\n")
    assert run(["sh", "-c", command]).returncode == code
    ended = Run.objects.get(num=heartbeat.num)
    assert (ended.exit_code, ended.rid is not None) == (code, True)


@pytest.mark.parametrize(("status", "end"), [("success", ("success", 0)), ("failure", ("fail", 1))])
def test_github_steps_report_the_result(live: None, tmp_path: Path, status: str, end: tuple[str, int]) -> None:
    heartbeat = make_heartbeat(cron="0 4 * * *", timezone_name="Europe/Berlin")
    text = snippets(heartbeat)["github_actions"].replace("${{ job.status }}", status)
    assert "this heartbeat expects Europe/Berlin" in text
    start = next(line for line in text.splitlines() if "/start" in line).partition("run: ")[2]
    finish = text.partition("run: |\n")[2].partition("env:")[0]
    uuid = tmp_path / "uuidgen"
    uuid.write_text("#!/bin/sh\ncat /proc/sys/kernel/random/uuid\n")
    uuid.chmod(0o755)
    env = {"PING_URL": ping_url(heartbeat), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = run(["sh", "-c", f"cd {tmp_path}\n{start}\n{finish}"], **env)
    assert done.returncode == 0, done.stderr
    assert kinds(heartbeat) == [("start", None), end]
    assert Run.objects.get(num=heartbeat.num).rid is not None


@pytest.mark.parametrize(
    ("values", "calendar"),
    [({"interval_seconds": 600}, "*:0/10"), ({"cron": "0 1 * * *"}, "daily"), ({"interval_seconds": 7200}, "0/2:00")],
)
def test_systemd_timer_has_a_calendar_that_systemd_reads(values: dict[str, Any], calendar: str) -> None:
    text = snippets(make_heartbeat(**values))["systemd_timer"]
    assert f"OnCalendar={calendar}\n" in text
    assert normalised_calendar(calendar) == calendar


@pytest.mark.parametrize(("result", "kind"), [("success", ("success", 0)), ("signal", ("fail", 1))])
def test_systemd_drop_in_reports_the_result(live: None, result: str, kind: tuple[str, int]) -> None:
    heartbeat = make_heartbeat()
    text = snippets(heartbeat)["systemd"].replace("\\\n", "").replace("$$", "$")  # as systemd reads it
    command = text.partition("ExecStopPost=-")[2].strip()
    assert run(["sh", "-c", command], SERVICE_RESULT=result).returncode == 0
    assert kinds(heartbeat) == [kind]


def test_every_snippet_carries_the_address(settings: Any) -> None:
    settings.PUBLIC_URL = "https://watch.example.org"
    heartbeat = make_heartbeat()
    texts = snippets(heartbeat)
    assert set(texts) == set(TITLES)
    assert all(f"https://watch.example.org/ping/{heartbeat.uuid}" in text for text in texts.values())
