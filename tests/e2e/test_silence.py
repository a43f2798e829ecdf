"""A worker that stands still: its monitors are unknown within two intervals, it is told once, and it heals."""

import os
import signal
import time

import pytest

from tests.e2e.story import ENVIRONMENT, Story
from tests.support.processes import Installation, Template, wait_for

INTERVAL_S = 12


def _stop_worker(installation: Installation, story: Story) -> int:
    """Stop the worker where it does not hold the database's only writer's place; returns its pid."""
    pid = installation.pid("worker")
    for _ in range(20):
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        if story.ping() and time.monotonic() - began < 3:
            return pid
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.7)
    raise AssertionError("the worker was always stopped in the middle of a write")


def test_stopped_worker_is_noticed_by_the_web_process(
    tmp_path_factory: pytest.TempPathFactory, template: Template
) -> None:
    data_dir = tmp_path_factory.mktemp("silence") / "data"
    with Installation(data_dir=data_dir, env=ENVIRONMENT, template=template) as installation:
        assert installation.admin is not None
        with Story(installation.port, installation.admin.username, installation.admin.password).running() as story:
            story.set_up()
            api, path = story.api, f"/api/v1/endpoints/{story.endpoint['id']}"
            api.call("PUT", path, {"interval": INTERVAL_S, "timeout": 3})
            story.wait_status("up")
            time.sleep(20)  # a web process that has just started gives the worker this long
            pid = _stop_worker(installation, story)
            try:
                wait_for(
                    lambda: api.call("GET", path)["status"] == "unknown",
                    what="the site is unknown within two intervals",
                    patience_s=2 * INTERVAL_S,
                )
                assert "has not checked it" in api.call("GET", path)["last_error"]
            finally:
                os.kill(pid, signal.SIGCONT)
            story.wait_status("up")

            def told() -> list[str]:
                rows = api.call("GET", "/api/v1/admin/audit?action=system.alert")["results"]
                return sorted(row["resource_name"] for row in rows if row["resource_type"] == "platform")

            wait_for(
                lambda: told() == ["Monitors are heard again", "Monitors are silent"],
                what="beginning and end are told once each",
            )
            assert story.alerts() == []  # nothing was wrong with the site
