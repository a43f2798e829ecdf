"""Copy-and-paste texts by which a job reports, in the languages jobs are written in."""

from apps.monitors.models.heartbeats import Heartbeat
from apps.monitors.selectors.heartbeats import ping_url

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

_DOCKER = """HEALTHCHECK --interval={interval}s --timeout=15s CMD \\
    your-check && curl -fsS -m 10 -o /dev/null "{url}" || exit 1
"""


def snippets(heartbeat: Heartbeat) -> dict[str, str]:
    """Return the texts by name: curl, wget, bash, python, powershell, systemd, crontab, docker_healthcheck."""
    url = ping_url(heartbeat)
    zone = f"CRON_TZ={heartbeat.timezone}\n" if heartbeat.cron else ""
    return {
        "curl": _CURL.format(url=url),
        "wget": _WGET.format(url=url),
        "bash": _BASH.format(url=url),
        "python": _PYTHON.format(url=url),
        "powershell": _POWERSHELL.format(url=url),
        "systemd": _SYSTEMD.format(url=url),
        "crontab": _CRONTAB.format(
            url=url, zone=zone, cron=heartbeat.cron or _cron_of(heartbeat.interval_seconds or 3600)
        ),
        "docker_healthcheck": _DOCKER.format(url=url, interval=heartbeat.interval_seconds or 60),
    }


def _cron_of(seconds: int) -> str:
    """Return the crontab line nearest to an interval from below."""
    minutes = max(1, seconds // 60)
    if minutes < 60:
        return f"*/{minutes} * * * *" if minutes > 1 else "* * * * *"
    hours = minutes // 60
    if hours < 24:
        return f"0 */{hours} * * *" if hours > 1 else "0 * * * *"
    return "0 0 * * *"
