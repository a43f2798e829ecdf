"""Copy-and-paste texts by which a job reports, in the languages jobs are written in."""

from django.utils import timezone

from apps.monitors.models.heartbeats import Heartbeat
from apps.monitors.selectors.heartbeats import ping_url, schedule_of

_CURL = 'curl -fsS -m 10 --retry 5 -o /dev/null "{url}"'
_WGET = 'wget -q -T 10 -t 5 -O /dev/null "{url}"'

_BASH = """#!/bin/bash
# Usage: ./report.sh COMMAND ARGUMENTS...
# Runs the command, reports its start, its exit code and the end of its output, and ends with the same exit code.
url="{url}"
rid="$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)"
output="$(mktemp)"
trap 'rm -f "$output"' EXIT
curl -fsS -m 10 --retry 5 -o /dev/null "$url/start?rid=$rid"
"$@" 2>&1 | tee "$output"
code="${{PIPESTATUS[0]}}"
tail -c 100000 "$output" | curl -fsS -m 10 --retry 5 -o /dev/null -X POST --data-binary @- "$url/$code?rid=$rid"
exit "$code"
"""

_PYTHON = """import traceback
import urllib.request

URL = "{url}"


def ping(path="", body=""):
    try:
        urllib.request.urlopen(URL + path, data=body.encode()[-100_000:], timeout=10).close()
    except OSError as error:
        print("The ping failed:", error)


ping("/start")
try:
    pass  # the job's work
except Exception:
    ping("/fail", traceback.format_exc())
    raise
else:
    ping()
"""

_POWERSHELL = """$url = "{url}"
Invoke-RestMethod -Uri "$url/start" -TimeoutSec 10 | Out-Null
& your-command
Invoke-RestMethod -Uri "$url/$LASTEXITCODE" -TimeoutSec 10 | Out-Null
"""

_SYSTEMD = """# A drop-in for your service: systemctl edit your.service
[Service]
ExecStartPre=-/usr/bin/curl -fsS -m 10 --retry 5 -o /dev/null {url}/start
ExecStopPost=-/bin/sh -c '[ "$$SERVICE_RESULT" = success ] && end=0 || end=fail; \\
    curl -fsS -m 10 --retry 5 -o /dev/null "{url}/$$end"'
"""

_CRONTAB = """{zone}{cron} /path/to/your/job; curl -fsS -m 10 --retry 5 -o /dev/null "{url}/$?"
"""

_SYSTEMD_TIMER = """# /etc/systemd/system/your-job.timer
[Timer]
OnCalendar={calendar}
Persistent=true

[Install]
WantedBy=timers.target

# /etc/systemd/system/your-job.service
[Service]
Type=oneshot
ExecStart=/path/to/your/job
ExecStartPre=-/usr/bin/curl -fsS -m 10 --retry 5 -o /dev/null {url}/start
ExecStopPost=-/bin/sh -c '[ "$$SERVICE_RESULT" = success ] && end=0 || end=fail; \\
    curl -fsS -m 10 --retry 5 -o /dev/null "{url}/$$end"'
"""

_GITHUB = """# .github/workflows/job.yml; keep the address in the repository's secret PING_URL:
# {url}
on:
  schedule:
    - cron: "{cron}"  # GitHub reads it in UTC{utc_note}
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - run: curl -fsS -m 10 --retry 5 -o /dev/null "$PING_URL/start?rid=$(uuidgen | tee rid)"
      - run: ./your-job
      - if: always()
        run: |
          if [ "${{{{ job.status }}}}" = success ]; then end=0; else end=fail; fi
          curl -fsS -m 10 --retry 5 -o /dev/null "$PING_URL/$end?rid=$(cat rid)"
env:
  PING_URL: ${{{{ secrets.PING_URL }}}}
"""

_KUBERNETES = """apiVersion: batch/v1
kind: CronJob
metadata:
  name: your-job
spec:
  schedule: "{cron}"
  timeZone: "{timezone}"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: your-job
              image: your-image  # with a shell and curl
              command: ["/bin/sh", "-c"]
              args:
                - |
                  rid=$(cat /proc/sys/kernel/random/uuid)
                  curl -fsS -m 10 --retry 5 -o /dev/null "{url}/start?rid=$rid"
                  your-job
                  code=$?
                  curl -fsS -m 10 --retry 5 -o /dev/null "{url}/$code?rid=$rid"
                  exit $code
"""

_GO = """package main

import (
	"net/http"
	"strings"
	"time"
)

const url = "{url}"

func ping(path, body string) {{
	client := &http.Client{{Timeout: 10 * time.Second}}
	if response, err := client.Post(url+path, "text/plain", strings.NewReader(body)); err == nil {{
		response.Body.Close()
	}}
}}

func main() {{
	ping("/start", "")
	if err := work(); err != nil {{
		ping("/fail", err.Error())
		return
	}}
	ping("", "")
}}

func work() error {{ return nil }} // the job's work
"""

_NODE = """const url = "{url}";

async function ping(path = "", body = "") {{
  try {{
    await fetch(url + path, {{ method: "POST", body, signal: AbortSignal.timeout(10_000) }});
  }} catch (error) {{
    console.error("The ping failed:", error.message);
  }}
}}

async function main() {{
  await ping("/start");
  try {{
    // the job's work
  }} catch (error) {{
    await ping("/fail", error.stack);
    throw error;
  }}
  await ping();
}}

main();
"""

_DOCKER = """HEALTHCHECK --interval={interval}s --timeout=15s CMD \\
    your-check && curl -fsS -m 10 -o /dev/null "{url}" || exit 1
"""


#: name -> what it is called, in the order people want them.
TITLES = {
    "curl": "curl",
    "wget": "wget",
    "crontab": "crontab",
    "bash": "Bash wrapper",
    "python": "Python",
    "powershell": "PowerShell",
    "node": "Node.js",
    "go": "Go",
    "systemd": "systemd service",
    "systemd_timer": "systemd timer",
    "docker_healthcheck": "Docker",
    "kubernetes": "Kubernetes CronJob",
    "github_actions": "GitHub Actions",
}


def snippets(heartbeat: Heartbeat) -> dict[str, str]:
    """Return the texts to copy by name, those of `TITLES`."""
    cron = heartbeat.cron if heartbeat.kind == Heartbeat.CRON else ""
    often = heartbeat.interval_seconds or _about_s(heartbeat)
    values = {
        "url": ping_url(heartbeat),
        "zone": f"CRON_TZ={heartbeat.timezone}\n" if cron else "",
        "cron": cron or _cron_of(often),
        "utc_note": f"; this heartbeat expects {heartbeat.timezone}" if cron and heartbeat.timezone != "UTC" else "",
        "timezone": heartbeat.timezone,
        "calendar": heartbeat.cron if heartbeat.kind == Heartbeat.CALENDAR else _calendar_of(often),
        "interval": heartbeat.interval_seconds or 60,
    }
    return {name: text.format(**values) for name, text in _TEXTS.items()}


_TEXTS = {
    "curl": _CURL,
    "wget": _WGET,
    "crontab": _CRONTAB,
    "bash": _BASH,
    "python": _PYTHON,
    "powershell": _POWERSHELL,
    "node": _NODE,
    "go": _GO,
    "systemd": _SYSTEMD,
    "systemd_timer": _SYSTEMD_TIMER,
    "docker_healthcheck": _DOCKER,
    "kubernetes": _KUBERNETES,
    "github_actions": _GITHUB,
}


def _about_s(heartbeat: Heartbeat) -> int:
    try:
        return schedule_of(heartbeat).period_s(timezone.now())
    except Exception:  # a schedule that was written behind our back
        return 3600


def _calendar_of(seconds: int) -> str:
    """Return the systemd calendar nearest to an interval from below."""
    minutes = max(1, seconds // 60)
    if minutes < 60:
        return f"*:0/{minutes}"
    hours = minutes // 60
    return f"0/{hours}:00" if hours < 24 else "daily"


def _cron_of(seconds: int) -> str:
    """Return the crontab line nearest to an interval from below."""
    minutes = max(1, seconds // 60)
    if minutes < 60:
        return f"*/{minutes} * * * *" if minutes > 1 else "* * * * *"
    hours = minutes // 60
    if hours < 24:
        return f"0 */{hours} * * *" if hours > 1 else "0 * * * *"
    return "0 0 * * *"
